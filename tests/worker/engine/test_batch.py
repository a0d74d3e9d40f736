from tests.worker.engine.conftest import TrackFactory
from trackfarm.wire import FailureKind
from trackfarm_worker.engine.batch import Batch
from trackfarm_worker.engine.messages import Event, Failed, Progress, Stopped


def progress(track_id: int) -> Progress:
    return Progress(track_id=track_id, stage="denoise", step=1, steps=8)


def test_the_track_in_the_making_is_blamed_once(track: TrackFactory) -> None:
    told: list[Event] = []
    batch = Batch([track(1), track(2)], told.append)
    batch.note(progress(1))
    assert batch.blame(FailureKind.ENGINE_DIED, "gone")
    assert not batch.blame(FailureKind.ENGINE_DIED, "gone again")
    assert [t.track_id for t in batch.remaining()] == [2]
    assert isinstance(told[-1], Failed)


def test_nobody_is_blamed_between_two_tracks(track: TrackFactory) -> None:
    batch = Batch([track(1), track(2)], lambda _: None)
    batch.note(progress(1))
    batch.note(Stopped(track_id=1))
    assert not batch.blame(FailureKind.ENGINE_DIED, "gone")
    assert [t.track_id for t in batch.remaining()] == [2]


def test_only_open_tracks_can_be_stopped(track: TrackFactory) -> None:
    batch = Batch([track(1), track(2), track(3)], lambda _: None)
    batch.note(Stopped(track_id=1))
    assert batch.stop([1, 3, 99]) == [3]
    assert not batch.is_all_to_stop()
    assert batch.stop(None) == [2, 3]
    assert batch.is_all_to_stop()
    batch.answer_stopped()
    assert [result.type for result in batch.results()] == ["stopped"] * 3


def test_the_first_answer_counts_and_strangers_do_not(track: TrackFactory) -> None:
    batch = Batch([track(1)], lambda _: None)
    first = Stopped(track_id=1)
    batch.note(first)
    batch.note(Failed(track_id=1, kind=FailureKind.ENGINE_ERROR, message="late"))
    batch.note(Stopped(track_id=7))
    assert batch.results() == [first]
