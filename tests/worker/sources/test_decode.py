"""Decoding of good files within this process; the tests of hostile files use the real source
process."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.worker.sources.files import (
    encode_by_ffmpeg,
    encode_by_libsndfile,
    flac,
    id3,
    tone,
    wav,
    with_data_size,
)
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
    "aiff": (encode_by_libsndfile(tone(48_000), 48_000, "AIFF", "PCM_16"), LOSSLESS),
    "flac": (flac(tone(48_000)), LOSSLESS),
    "mp3": (encode_by_libsndfile(tone(48_000), 48_000, "MP3", "MPEG_LAYER_III"), LOSSY),
    "vorbis": (encode_by_libsndfile(tone(48_000), 48_000, "OGG", "VORBIS"), LOSSY),
    "opus": (encode_by_libsndfile(tone(48_000), 48_000, "OGG", "OPUS"), LOSSY),
    "m4a": (encode_by_ffmpeg(tone(48_000), "mp4", "aac"), LOSSY),
}


def decoded_samples(tmp_path: Path, content: bytes) -> NDArray[np.float32]:
    result = result_of(tmp_path, content)
    assert isinstance(result, PreparedSource), result
    samples: NDArray[np.float32] = np.load(result.path, allow_pickle=False)
    assert samples.dtype == np.float32
    assert samples.shape == (result.frames, 2)
    return samples


def result_of(tmp_path: Path, content: bytes) -> PreparedSource | SourceRefused:
    path = tmp_path / "source"
    path.write_bytes(content)
    return decode(path, tmp_path / "source.npy", SourceLimits())


@pytest.mark.parametrize("kind", KINDS)
def test_decode_keeps_the_audio_of_every_kind_of_file(tmp_path: Path, kind: str) -> None:
    content, tolerance = KINDS[kind]
    samples, original = decoded_samples(tmp_path, content), tone(48_000)
    assert abs(len(samples) - len(original)) <= (1_024 if kind == "m4a" else 0)
    error = (samples[: len(original)] - original)[4_800:-4_800]
    assert np.sqrt(np.mean(error**2)) < tolerance


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 96_000, 192_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_decode_resamples_every_rate_to_48_khz_stereo(
    tmp_path: Path, rate: int, channels: int
) -> None:
    samples = decoded_samples(tmp_path, wav(tone(rate, channels=channels), rate, "FLOAT"))
    expected = tone(48_000, channels=channels)
    assert abs(len(samples) - len(expected)) <= 1
    middle = slice(4_800, -4_800)
    assert np.abs(samples[: len(expected)][middle] - expected[middle]).max() < 1e-4
    assert (samples[:, 0] == samples[:, 1]).all() == (channels == 1)


def test_decode_accepts_the_maximum_length_and_no_more(tmp_path: Path) -> None:
    quick = 8_000
    assert len(decoded_samples(tmp_path, flac(tone(quick, 600, 1), quick))) == 600 * 48_000
    result = result_of(tmp_path, flac(tone(quick, 600.1, 1), quick))
    assert result == SourceRefused("it is 600.1 s long; the maximum is 600 s")


def test_decode_accepts_a_truncated_mp3(tmp_path: Path) -> None:
    """MP3 frames are independent: nothing says how many there should be."""
    content = encode_by_libsndfile(tone(48_000), 48_000, "MP3", "MPEG_LAYER_III")
    assert 48_000 < len(decoded_samples(tmp_path, content[: len(content) // 2])) < 2 * 48_000


def test_decode_skips_large_tags(tmp_path: Path) -> None:
    content = encode_by_libsndfile(tone(48_000), 48_000, "MP3", "MPEG_LAYER_III")
    assert len(decoded_samples(tmp_path, id3(500_000, bytes(500_000)) + content)) > 140_000


def test_decode_refuses_a_stream_that_changes_its_format(tmp_path: Path) -> None:
    first = encode_by_libsndfile(tone(48_000), 48_000, "OGG", "VORBIS")
    second = encode_by_libsndfile(tone(22_050, channels=1), 22_050, "OGG", "VORBIS")
    result = result_of(tmp_path, first + second)
    assert isinstance(result, SourceRefused)
    assert not (tmp_path / "source.npy").exists()
