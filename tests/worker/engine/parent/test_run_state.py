from tests.worker.engine.builders import TrackFactory
from trackfarm.protocol.worker import FailureKind
from trackfarm_worker.engine.parent.run_state import RunState
from trackfarm_worker.engine.protocol import EngineEvent, EngineProgress, FailedTrack, StoppedTrack


def progress(*track_ids: int) -> EngineProgress:
    return EngineProgress(track_ids=list(track_ids), stage="denoise", step=1, steps=8)


def next_ids(run: RunState) -> list[int]:
    return [track.track_id for track in run.next_group()]


def test_bisect_fails_the_track_that_was_made_alone_once(track: TrackFactory) -> None:
    events: list[EngineEvent] = []
    run = RunState([track(1), track(2)], events.append)
    run.record(progress(1))
    assert run.bisect_after_crash(FailureKind.ENGINE_DIED, "gone")
    assert not run.bisect_after_crash(FailureKind.ENGINE_DIED, "gone again")
    assert [t.track_id for t in run.remaining()] == [2]
    assert isinstance(events[-1], FailedTrack)


def test_bisect_fails_no_track_between_two_tracks(track: TrackFactory) -> None:
    run = RunState([track(1), track(2)], lambda _: None)
    run.record(progress(1))
    run.record(StoppedTrack(track_id=1))
    assert not run.bisect_after_crash(FailureKind.ENGINE_DIED, "gone")
    assert [t.track_id for t in run.remaining()] == [2]


def test_clear_in_progress_fails_no_track_of_a_retired_engine(track: TrackFactory) -> None:
    run = RunState([track(1)], lambda _: None)
    run.record(progress(1))
    run.clear_in_progress()
    assert not run.bisect_after_crash(FailureKind.ENGINE_DIED, "gone")
    assert next_ids(run) == [1]


def test_bisect_halves_a_lost_batch_until_one_track_is_alone(track: TrackFactory) -> None:
    run = RunState([track(i) for i in range(1, 8)], lambda _: None)
    assert next_ids(run) == [1, 2, 3, 4, 5, 6, 7]
    run.record(progress(1, 2, 3, 4, 5))
    run.record(StoppedTrack(track_id=1))
    assert run.bisect_after_crash(FailureKind.ENGINE_DIED, "gone")
    assert next_ids(run) == [2, 3]
    run.record(progress(2, 3))
    run.bisect_after_crash(FailureKind.ENGINE_DIED, "gone")
    assert next_ids(run) == [2]
    run.record(progress(2))
    run.bisect_after_crash(FailureKind.ENGINE_DIED, "gone")
    assert next_ids(run) == [3]
    run.record(StoppedTrack(track_id=3))
    assert next_ids(run) == [4, 5]
    for track_id in (4, 5):
        run.record(StoppedTrack(track_id=track_id))
    assert next_ids(run) == [6, 7]
    for track_id in (6, 7):
        run.record(StoppedTrack(track_id=track_id))
    assert next_ids(run) == []
    assert [result.type for result in run.results()] == ["stopped", "failed", *["stopped"] * 5]


def test_stop_marks_unanswered_tracks_only(track: TrackFactory) -> None:
    run = RunState([track(1), track(2), track(3)], lambda _: None)
    run.record(StoppedTrack(track_id=1))
    assert run.stop([1, 3, 99]) == [3]
    assert not run.is_all_to_stop()
    assert run.stop(None) == [2, 3]
    assert run.is_all_to_stop()
    run.answer_stopped()
    assert [result.type for result in run.results()] == ["stopped"] * 3


def test_record_keeps_the_first_answer_and_ignores_unknown_tracks(track: TrackFactory) -> None:
    run = RunState([track(1)], lambda _: None)
    first = StoppedTrack(track_id=1)
    run.record(first)
    run.record(FailedTrack(track_id=1, kind=FailureKind.ENGINE_ERROR, message="late"))
    run.record(StoppedTrack(track_id=7))
    assert run.results() == [first]
