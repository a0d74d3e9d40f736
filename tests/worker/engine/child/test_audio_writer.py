"""Writing of finished audio in parallel with its producer."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from tests.worker.shards import MEASURES
from trackfarm.protocol.worker import FailureKind
from trackfarm_worker.engine.child.audio_writer import AcceptedAudio, AudioWriter
from trackfarm_worker.engine.protocol import FailedTrack, FinishedTrack, StageSeconds, TrackResult

SECONDS = StageSeconds(denoise=2.0, service=3.0)


def audio(folder: Path, track_id: int, *, frames: int = 1000) -> AcceptedAudio:
    samples = np.full((frames, 2), track_id, np.int16)
    finished = FinishedTrack(
        run_id=5,
        track_id=track_id,
        path=folder / f"{track_id}.npy",
        sample_rate=48_000,
        channels=2,
        frames=frames,
        measures=MEASURES,
        timings=SECONDS,
        seed=1,
    )
    return AcceptedAudio(finished, samples)


def test_writer_reports_each_track_once_its_file_exists_and_in_order(tmp_path: Path) -> None:
    results: list[object] = []
    writer = AudioWriter()

    def on_result(result: TrackResult) -> None:
        assert isinstance(result, FinishedTrack)
        results.append(int(np.load(result.path, allow_pickle=False)[0, 0]))

    for track_id in (3, 1, 2):
        writer.put(audio(tmp_path, track_id), on_result)
    writer.call_when_written(lambda: results.append("done"))
    writer.flush()
    assert results == [3, 1, 2, "done"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.npy", "2.npy", "3.npy"]


def test_writer_fails_only_the_track_that_cannot_be_written(tmp_path: Path) -> None:
    results: list[TrackResult] = []
    writer = AudioWriter()
    writer.put(audio(tmp_path / "gone", 1), results.append)
    writer.put(audio(tmp_path, 2), results.append)
    writer.flush()
    failed, finished = results
    assert isinstance(failed, FailedTrack)
    assert (failed.run_id, failed.kind, failed.timings) == (5, FailureKind.ENGINE_ERROR, SECONDS)
    assert failed.message.startswith("FileNotFoundError")
    assert isinstance(finished, FinishedTrack)


@pytest.mark.parametrize(("frames", "fits"), [(500, True), (501, False)])
def test_put_blocks_while_too_many_bytes_wait(tmp_path: Path, frames: int, fits: bool) -> None:
    """2,000 bytes are being reported; others may be queued beside them, up to 4,000 in all."""
    writer, is_reporting, may_end = AudioWriter(max_bytes=4000), Event(), Event()

    def hold(_: TrackResult) -> None:
        is_reporting.set()
        assert may_end.wait(20)

    writer.put(audio(tmp_path, 1, frames=500), hold)
    assert is_reporting.wait(20)
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(writer.put, audio(tmp_path, 2, frames=frames), lambda _: None)
        if fits:
            second.result(20)
        else:
            with pytest.raises(TimeoutError):
                second.result(0.05)
        may_end.set()
        second.result(20)
    writer.flush()
    assert (tmp_path / "2.npy").exists()


def test_put_accepts_a_single_track_larger_than_the_bound(tmp_path: Path) -> None:
    writer = AudioWriter(max_bytes=10)
    results: list[TrackResult] = []
    for track_id in (1, 2):
        writer.put(audio(tmp_path, track_id), results.append)
    writer.flush()
    assert [result.track_id for result in results] == [1, 2]
