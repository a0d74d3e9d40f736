"""Real codecs in real processes; their files are read back by FFmpeg and libsndfile."""

import base64
import hashlib
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from tests.worker.judges import JUDGES, judged
from tests.worker.waiting import is_running, wait_until
from trackfarm.catalog import Brief
from trackfarm.catalog.vocabulary import AudioFormat
from trackfarm_worker.audio_tags import TrackProvenance, track_tags
from trackfarm_worker.encoder_pool import EncodedFile, EncodeFailed, EncoderPool

FORMATS: tuple[AudioFormat, ...] = get_args(AudioFormat)
SECONDS = 3.2345


def music(seconds: float) -> NDArray[np.int16]:
    time = np.arange(round(seconds * 48_000)) / 48_000
    left = np.sin(2 * np.pi * 440 * time) * np.sin(5 * time)
    right = np.sin(2 * np.pi * 659 * time) * np.cos(3 * time)
    return np.asarray(np.rint(np.stack([left, right], axis=1) * 20_000), dtype=np.int16)


@pytest.fixture(scope="module")
def pool() -> Iterator[EncoderPool]:
    with EncoderPool(1) as encoders:
        yield encoders


@pytest.fixture
def pcm(tmp_path: Path) -> Path:
    np.save(tmp_path / "track.npy", music(SECONDS), allow_pickle=False)
    return tmp_path / "track.npy"


def encoded(result: EncodedFile | EncodeFailed) -> EncodedFile:
    assert isinstance(result, EncodedFile), result
    return result


@pytest.mark.parametrize("judge", JUDGES)
@pytest.mark.parametrize("audio_format", FORMATS)
def test_encode_makes_stereo_48_khz_of_exactly_the_requested_length(
    pool: EncoderPool, pcm: Path, tmp_path: Path, audio_format: AudioFormat, judge: str
) -> None:
    out = tmp_path / f"track.{audio_format}"
    encoded(pool.encode(pcm, out, audio_format))
    original = music(SECONDS).astype(np.float64)
    file = judged(judge, out)
    assert (file.rate, file.channels) == (48_000, 2)
    by_libsndfile = soundfile.read(out, dtype="int16")[0]
    for decoded in (file.samples, by_libsndfile):
        assert decoded.shape == original.shape
        error = decoded - original
        if audio_format in ("mp3", "opus"):
            assert np.mean(error**2) < 1e-4 * np.mean(original**2)
        else:
            assert not error.any()


@pytest.mark.parametrize("judge", JUDGES)
def test_encode_makes_mp3_of_constant_320_kbit(
    pool: EncoderPool, pcm: Path, tmp_path: Path, judge: str
) -> None:
    result = encoded(pool.encode(pcm, tmp_path / "track.mp3", "mp3"))
    assert judged(judge, result.path).bit_rate == 320_000
    assert result.size % 960 == 0
    assert abs(result.size / 40_000 - SECONDS) < 0.1


@pytest.mark.parametrize("audio_format", FORMATS)
def test_encode_returns_the_digests_of_the_file_and_is_reproducible(
    pool: EncoderPool, pcm: Path, tmp_path: Path, audio_format: AudioFormat
) -> None:
    first = encoded(pool.encode(pcm, tmp_path / "one", audio_format))
    second = encoded(pool.encode(pcm, tmp_path / "two", audio_format))
    content = first.path.read_bytes()
    assert first.size == len(content)
    assert first.md5 == hashlib.md5(content, usedforsecurity=False).hexdigest()
    assert base64.b64decode(first.content_md5).hex() == first.md5
    assert first.sha256 == hashlib.sha256(content).hexdigest() == second.sha256
    assert first.seconds > 0


@pytest.mark.parametrize("judge", JUDGES)
@pytest.mark.parametrize("audio_format", FORMATS)
def test_encode_writes_tags_that_players_show(
    pool: EncoderPool, pcm: Path, tmp_path: Path, audio_format: AudioFormat, judge: str
) -> None:
    brief = Brief(prompt="Früh Licht " * 20, duration=10, title="Lobby, “calm”")
    tags = track_tags(brief, 2**32 - 1, TrackProvenance("job_0001", "acestep-v15-turbo"))
    result = encoded(pool.encode(pcm, tmp_path / "out", audio_format, tags=tags))
    file = judged(judge, result.path)
    assert tags.items() <= file.tags.items()
    assert len(file.samples) == len(music(SECONDS))


def test_encode_returns_failures_and_leaves_no_file(pool: EncoderPool, tmp_path: Path) -> None:
    np.save(tmp_path / "mono.npy", np.zeros((480, 1), np.int16), allow_pickle=False)
    for pcm in ("mono.npy", "missing.npy"):
        result = pool.encode(tmp_path / pcm, tmp_path / "out.mp3", "mp3")
        assert isinstance(result, EncodeFailed)
    assert [path.name for path in tmp_path.iterdir()] == ["mono.npy"]


def encoder_pids() -> set[int]:
    return {child.pid for child in multiprocessing.active_children() if child.pid}


@pytest.mark.parametrize("crashes", [1, 2])
def test_pool_retries_once_after_a_crashed_codec(tmp_path: Path, crashes: int) -> None:
    np.save(tmp_path / "long.npy", np.tile(music(10), (20, 1)), allow_pickle=False)
    others = encoder_pids()
    out = tmp_path / "long.mp3"
    with EncoderPool(1) as pool, ThreadPoolExecutor(1) as thread:
        pending = thread.submit(pool.encode, tmp_path / "long.npy", out, "mp3")
        killed: set[int] = set()
        for _ in range(crashes):
            wait_until(lambda: bool(encoder_pids() - others - killed))
            (pid,) = encoder_pids() - others - killed
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
        result = pending.result()
        if crashes == 1:
            assert encoded(result).path.stat().st_size == encoded(result).size
        else:
            assert isinstance(result, EncodeFailed)
            assert not out.exists()
            assert isinstance(pool.encode(tmp_path / "long.npy", out, "flac"), EncodedFile)
    assert encoder_pids() == others


OWNER = """
import multiprocessing, sys, time
from pathlib import Path
from trackfarm_worker.encoder_pool import EncoderPool

if __name__ == "__main__":
    pcm, out = map(Path, sys.argv[1:])
    pool = EncoderPool(2)
    assert pool.encode(pcm, out, "wav").size
    print(*[child.pid for child in multiprocessing.active_children()], flush=True)
    time.sleep(600)
"""


def test_pool_processes_end_with_their_killed_parent(pcm: Path, tmp_path: Path) -> None:
    script = tmp_path / "owner.py"
    script.write_text(OWNER)
    command = [sys.executable, str(script), str(pcm), str(tmp_path / "out.wav")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        pids = [int(word) for word in owner.stdout.readline().split()]
        assert pids
        assert all(is_running(pid) for pid in pids)
        owner.kill()
    wait_until(lambda: not any(is_running(pid) for pid in pids), 10)
