"""Encoding in the calling process: file structure, exact length, refused samples."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from trackfarm_worker.audio_files import ENCODER_DELAY, SAMPLES_PER_FRAME, mp3, write_audio_file

RATE = 48_000


def tone(frames: int) -> NDArray[np.int16]:
    wave = 8_000 * np.sin(np.arange(frames) / 20)
    return np.stack([wave, -wave], axis=1).astype(np.int16)


@pytest.mark.parametrize("frames", [1, 1_151, 1_152, 48_000, 48_001])
def test_mp3_tells_players_its_exact_length(frames: int) -> None:
    stream = mp3(tone(frames), RATE)
    info = stream[36 : 36 + 4 + 4 + 8 + 9 + 12 + 3]
    assert info[:4] == b"Info"
    count, size = struct.unpack(">II", info[8:16])
    delay_and_padding = int.from_bytes(info[-3:], "big")
    delay, padding = delay_and_padding >> 12, delay_and_padding & 0xFFF
    assert size == len(stream)
    assert delay == ENCODER_DELAY
    assert count * SAMPLES_PER_FRAME - delay - padding == frames


def test_mp3_refuses_a_rate_with_frames_of_different_sizes() -> None:
    with pytest.raises(ValueError, match="48 kHz, not 44100 Hz"):
        mp3(tone(10), 44_100)


@pytest.mark.parametrize("tag", ["calm", "even"])
def test_wav_with_tags_is_a_valid_riff_file(tmp_path: Path, tag: str) -> None:
    path, samples = tmp_path / "track.wav", tone(480)
    write_audio_file(path, samples, RATE, "wav", {"title": tag})
    content = path.read_bytes()
    (size,) = struct.unpack("<I", content[4:8])
    assert size == len(content) - 8
    assert b"id3 " in content
    assert tag.encode() in content
    assert np.array_equal(soundfile.read(path, dtype="int16")[0], samples)


@pytest.mark.parametrize("shape", [(10,), (10, 1), (10, 3)])
def test_write_refuses_samples_of_another_shape(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="must have shape"):
        write_audio_file(tmp_path / "x.wav", np.zeros(shape, np.int16), RATE, "wav", {})
    assert list(tmp_path.iterdir()) == []
