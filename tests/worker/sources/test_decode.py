"""Decoding of good files within this process; the tests of hostile files use the real source
process."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.worker.sources.files import coded, flac, id3, tone, wav, with_data_size, written
from trackfarm_worker.sources.decode import decode
from trackfarm_worker.sources.protocol import PreparedSource, SourceLimits, SourceRefused

LOSSLESS, LOSSY = 2e-5, 0.06  # RMS of the difference; that of the tones is 0.35
KINDS: dict[str, tuple[bytes, float]] = {
    "wav16": (wav(tone(48_000)), LOSSLESS),
    "wav24": (wav(tone(48_000), subtype="PCM_24"), LOSSLESS),
    "wav8": (wav(tone(48_000), subtype="PCM_U8"), 0.01),
    "wav-float": (wav(tone(48_000), subtype="FLOAT"), LOSSLESS),
    "wav-double": (wav(tone(48_000), subtype="DOUBLE"), LOSSLESS),
    "wav-streamed": (with_data_size(wav(tone(48_000)), 0xFFFF_FFFF), LOSSLESS),
    "aiff": (written(tone(48_000), 48_000, "AIFF", "PCM_16"), LOSSLESS),
    "flac": (flac(tone(48_000)), LOSSLESS),
    "mp3": (written(tone(48_000), 48_000, "MP3", "MPEG_LAYER_III"), LOSSY),
    "vorbis": (written(tone(48_000), 48_000, "OGG", "VORBIS"), LOSSY),
    "opus": (written(tone(48_000), 48_000, "OGG", "OPUS"), LOSSY),
    "m4a": (coded(tone(48_000), "mp4", "aac"), LOSSY),
}


def decoded(tmp_path: Path, content: bytes) -> NDArray[np.float32]:
    answer = tried(tmp_path, content)
    assert isinstance(answer, PreparedSource), answer
    samples: NDArray[np.float32] = np.load(answer.path, allow_pickle=False)
    assert samples.dtype == np.float32
    assert samples.shape == (answer.frames, 2)
    return samples


def tried(tmp_path: Path, content: bytes) -> PreparedSource | SourceRefused:
    path = tmp_path / "source"
    path.write_bytes(content)
    return decode(path, tmp_path / "source.npy", SourceLimits())


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_comes_out_as_it_went_in(tmp_path: Path, kind: str) -> None:
    content, tolerance = KINDS[kind]
    samples, original = decoded(tmp_path, content), tone(48_000)
    assert abs(len(samples) - len(original)) <= (1_024 if kind == "m4a" else 0)
    error = (samples[: len(original)] - original)[4_800:-4_800]
    assert np.sqrt(np.mean(error**2)) < tolerance


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 96_000, 192_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_every_rate_becomes_48_khz_on_two_sides(tmp_path: Path, rate: int, channels: int) -> None:
    samples = decoded(tmp_path, wav(tone(rate, channels=channels), rate, "FLOAT"))
    wanted = tone(48_000, channels=channels)
    assert abs(len(samples) - len(wanted)) <= 1
    middle = slice(4_800, -4_800)
    assert np.abs(samples[: len(wanted)][middle] - wanted[middle]).max() < 1e-4
    assert (samples[:, 0] == samples[:, 1]).all() == (channels == 1)


def test_as_long_as_a_track_may_be_and_no_longer(tmp_path: Path) -> None:
    quick = 8_000
    assert len(decoded(tmp_path, flac(tone(quick, 600, 1), quick))) == 600 * 48_000
    answer = tried(tmp_path, flac(tone(quick, 600.1, 1), quick))
    assert answer == SourceRefused("it is 600.1 s long; the maximum is 600 s")


def test_of_an_mp3_that_was_cut_off_there_is_what_there_is(tmp_path: Path) -> None:
    """MP3 frames are independent: nothing says how many there should be."""
    content = written(tone(48_000), 48_000, "MP3", "MPEG_LAYER_III")
    assert 48_000 < len(decoded(tmp_path, content[: len(content) // 2])) < 2 * 48_000


def test_tags_before_the_music_do_not_matter(tmp_path: Path) -> None:
    content = written(tone(48_000), 48_000, "MP3", "MPEG_LAYER_III")
    assert len(decoded(tmp_path, id3(500_000, bytes(500_000)) + content)) > 140_000


def test_two_songs_of_different_kinds_in_one_stream_are_refused(tmp_path: Path) -> None:
    first = written(tone(48_000), 48_000, "OGG", "VORBIS")
    second = written(tone(22_050, channels=1), 22_050, "OGG", "VORBIS")
    answer = tried(tmp_path, first + second)
    assert isinstance(answer, SourceRefused)
    assert not (tmp_path / "source.npy").exists()
