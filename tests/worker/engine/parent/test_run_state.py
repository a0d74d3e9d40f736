from tests.worker.engine.builders import TrackFactory
from trackfarm.protocol.worker import FailureKind
from trackfarm_worker.engine.parent.run_state import RunState
from trackfarm_worker.engine.protocol import EngineProgress, Event, TrackFailedReport, TrackStopped


def progress(*track_ids: int) -> EngineProgress:
    return EngineProgress(track_ids=list(track_ids), stage="denoise", step=1, steps=8)


def groups(batch: RunState) -> list[int]:
    return [track.track_id for track in batch.next_group()]


def test_the_track_that_was_made_alone_is_blamed_once(track: TrackFactory) -> None:
    told: list[Event] = []
    batch = RunState([track(1), track(2)], told.append)
    batch.note(progress(1))
    assert batch.blame(FailureKind.ENGINE_DIED, "gone")
    assert not batch.blame(FailureKind.ENGINE_DIED, "gone again")
    assert [t.track_id for t in batch.remaining()] == [2]
    assert isinstance(told[-1], TrackFailedReport)


def test_nobody_is_blamed_between_two_tracks(track: TrackFactory) -> None:
    batch = RunState([track(1), track(2)], lambda _: None)
    batch.note(progress(1))
    batch.note(TrackStopped(track_id=1))
    assert not batch.blame(FailureKind.ENGINE_DIED, "gone")
    assert [t.track_id for t in batch.remaining()] == [2]


def test_nobody_is_blamed_for_an_engine_that_retired(track: TrackFactory) -> None:
    batch = RunState([track(1)], lambda _: None)
    batch.note(progress(1))
    batch.acquit()
    assert not batch.blame(FailureKind.ENGINE_DIED, "gone")
    assert groups(batch) == [1]


def test_a_lost_batch_is_halved_until_one_track_is_alone(track: TrackFactory) -> None:
    batch = RunState([track(i) for i in range(1, 8)], lambda _: None)
    assert groups(batch) == [1, 2, 3, 4, 5, 6, 7]
    batch.note(progress(1, 2, 3, 4, 5))
    batch.note(TrackStopped(track_id=1))
    assert batch.blame(FailureKind.ENGINE_DIED, "gone")
    assert groups(batch) == [2, 3]
    batch.note(progress(2, 3))
    batch.blame(FailureKind.ENGINE_DIED, "gone")
    assert groups(batch) == [2]
    batch.note(progress(2))
    batch.blame(FailureKind.ENGINE_DIED, "gone")
    assert groups(batch) == [3]
    batch.note(TrackStopped(track_id=3))
    assert groups(batch) == [4, 5]
    for track_id in (4, 5):
        batch.note(TrackStopped(track_id=track_id))
    assert groups(batch) == [6, 7]
    for track_id in (6, 7):
        batch.note(TrackStopped(track_id=track_id))
    assert groups(batch) == []
    assert [result.type for result in batch.results()] == ["stopped", "failed", *["stopped"] * 5]


def test_only_open_tracks_can_be_stopped(track: TrackFactory) -> None:
    batch = RunState([track(1), track(2), track(3)], lambda _: None)
    batch.note(TrackStopped(track_id=1))
    assert batch.stop([1, 3, 99]) == [3]
    assert not batch.is_all_to_stop()
    assert batch.stop(None) == [2, 3]
    assert batch.is_all_to_stop()
    batch.answer_stopped()
    assert [result.type for result in batch.results()] == ["stopped"] * 3


def test_the_first_answer_counts_and_strangers_do_not(track: TrackFactory) -> None:
    batch = RunState([track(1)], lambda _: None)
    first = TrackStopped(track_id=1)
    batch.note(first)
    batch.note(TrackFailedReport(track_id=1, kind=FailureKind.ENGINE_ERROR, message="late"))
    batch.note(TrackStopped(track_id=7))
    assert batch.results() == [first]
