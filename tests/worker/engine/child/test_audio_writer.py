"""Writing of finished audio in parallel with its producer."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from tests.worker.shards import MEASURES
from trackfarm.protocol.worker import FailureKind
from trackfarm_worker.engine.child.audio_writer import Sound, Spool
from trackfarm_worker.engine.protocol import Finished, Result, StageSeconds, TrackFailedReport

SECONDS = StageSeconds(denoise=2.0, service=3.0)


def sound(folder: Path, track_id: int, *, frames: int = 1000) -> Sound:
    samples = np.full((frames, 2), track_id, np.int16)
    finished = Finished(
        batch_id=5,
        track_id=track_id,
        path=folder / f"{track_id}.npy",
        sample_rate=48_000,
        channels=2,
        frames=frames,
        measures=MEASURES,
        timings=SECONDS,
        seed=1,
    )
    return Sound(finished, samples)


def test_each_is_told_when_its_file_is_there_and_in_order(tmp_path: Path) -> None:
    told: list[object] = []
    spool = Spool()

    def tell(result: Result) -> None:
        assert isinstance(result, Finished)
        told.append(int(np.load(result.path, allow_pickle=False)[0, 0]))

    for track_id in (3, 1, 2):
        spool.put(sound(tmp_path, track_id), tell)
    spool.then(lambda: told.append("done"))
    spool.flush()
    assert told == [3, 1, 2, "done"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.npy", "2.npy", "3.npy"]


def test_a_file_that_cannot_be_written_fails_its_track_alone(tmp_path: Path) -> None:
    told: list[Result] = []
    spool = Spool()
    spool.put(sound(tmp_path / "gone", 1), told.append)
    spool.put(sound(tmp_path, 2), told.append)
    spool.flush()
    failed, finished = told
    assert isinstance(failed, TrackFailedReport)
    assert (failed.batch_id, failed.kind, failed.timings) == (5, FailureKind.ENGINE_ERROR, SECONDS)
    assert failed.message.startswith("FileNotFoundError")
    assert isinstance(finished, Finished)


@pytest.mark.parametrize(("frames", "fits"), [(500, True), (501, False)])
def test_no_more_waits_than_may(tmp_path: Path, frames: int, fits: bool) -> None:
    """2,000 bytes are being reported; others may be queued beside them, up to 4,000 in all."""
    spool, begun, let_go = Spool(most_bytes=4000), Event(), Event()

    def hold(_: Result) -> None:
        begun.set()
        assert let_go.wait(20)

    spool.put(sound(tmp_path, 1, frames=500), hold)
    assert begun.wait(20)
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(spool.put, sound(tmp_path, 2, frames=frames), lambda _: None)
        if fits:
            second.result(20)
        else:
            with pytest.raises(TimeoutError):
                second.result(0.05)
        let_go.set()
        second.result(20)
    spool.flush()
    assert (tmp_path / "2.npy").exists()


def test_a_track_larger_than_all_that_may_wait_goes_alone(tmp_path: Path) -> None:
    spool = Spool(most_bytes=10)
    told: list[Result] = []
    for track_id in (1, 2):
        spool.put(sound(tmp_path, track_id), told.append)
    spool.flush()
    assert [result.track_id for result in told] == [1, 2]
