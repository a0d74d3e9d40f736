"""The engine as its owner sees it: a real process with the tiny model set."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.worker.conditions import wait_until
from tests.worker.engine.conftest import TrackFactory
from trackfarm.wire import FailureKind
from trackfarm_worker.engine.messages import Event, Failed, Finished, Progress, Result
from trackfarm_worker.engine.process import EngineProcess


def kinds(results: list[Result]) -> list[str]:
    return [result.type for result in results]


def samples(result: Result) -> bytes:
    assert isinstance(result, Finished)
    return result.path.read_bytes()


def test_each_track_becomes_a_file_of_exactly_the_length_asked_for(
    engine: EngineProcess, track: TrackFactory
) -> None:
    durations = [1.0, 1.23456, 0.77]
    results = engine.run([track(i, duration=d) for i, d in enumerate(durations)])
    for result, duration in zip(results, durations, strict=True):
        assert isinstance(result, Finished)
        pcm = np.load(result.path, allow_pickle=False)
        assert pcm.dtype == np.int16
        assert pcm.shape == (result.frames, 2) == (round(duration * 48_000), 2)
        assert np.abs(pcm).max() == round(10 ** (-1 / 20) * 32767)
        assert result.measures.finite
        assert result.measures.peak_dbfs == pytest.approx(-1, abs=0.01)
        assert result.timings.denoise > 0
        assert result.timings.decode > 0


def test_progress_is_told_step_by_step_and_each_result_at_once(
    engine: EngineProcess, track: TrackFactory
) -> None:
    told: list[Event] = []
    results = engine.run([track(1, steps=3), track(2)], told.append)
    steps = [
        (event.stage, event.step, event.steps)
        for event in told
        if isinstance(event, Progress) and event.track_id == 1
    ]
    denoised = [("denoise", step, 3) for step in (1, 2, 3)]
    assert steps == [("condition", 0, 1), *denoised, ("decode", 1, 1)]
    assert told[len(steps)] == results[0]
    assert told[-1] == results[1]


def test_a_track_that_cannot_be_made_takes_no_other_along(
    engine: EngineProcess, track: TrackFactory
) -> None:
    batch = [
        track(1, task_type="cover"),
        track(2),
        track(3, steps=201),
        track(4, duration=0),
        track(5),
    ]
    results = engine.run(batch)
    assert kinds(results) == ["failed", "finished", "failed", "failed", "finished"]
    failures = [result for result in results if isinstance(result, Failed)]
    assert [failure.kind for failure in failures] == [
        FailureKind.UNSUPPORTED_TASK,
        FailureKind.BAD_INPUT,
        FailureKind.BAD_INPUT,
    ]
    assert "steps must be 1 to 200" in failures[1].message


def test_a_track_depends_on_its_seed_and_not_on_its_company(
    engine: EngineProcess, track: TrackFactory
) -> None:
    alone = engine.run([track(1, seed=7)])[0]
    first, second, other = engine.run([track(9, seed=3), track(1, seed=7), track(2, seed=8)])
    assert samples(alone) == samples(second)
    assert samples(second) != samples(first)
    assert samples(second) != samples(other)


@pytest.mark.parametrize("change", [{"prompt": "snow"}, {"shift": 1.0}, {"guidance": 4.0}])
def test_what_the_brief_says_is_heard(
    engine: EngineProcess, track: TrackFactory, change: dict[str, object]
) -> None:
    plain, changed = engine.run([track(1, seed=7), track(2, seed=7, **change)])
    assert samples(plain) != samples(changed)


def test_a_stop_keeps_what_is_finished_and_ends_the_rest_between_two_steps(
    engine: EngineProcess, track: TrackFactory
) -> None:
    told: list[Event] = []

    def stop_in_second(event: Event) -> None:
        told.append(event)
        if isinstance(event, Progress) and event.track_id == 2:
            engine.stop_current()

    results = engine.run([track(1), track(2, steps=200), track(3)], stop_in_second)
    assert kinds(results) == ["finished", "stopped", "stopped"]
    steps = [e.step for e in told if isinstance(e, Progress) and e.track_id == 2]
    assert max(steps) < 20
    assert kinds(engine.run([track(2)])) == ["finished"]


def test_single_tracks_can_be_stopped(engine: EngineProcess, track: TrackFactory) -> None:
    def stop_third(event: Event) -> None:
        if isinstance(event, Progress) and event.track_id == 1:
            engine.stop_current([3])

    results = engine.run([track(1), track(2), track(3)], stop_third)
    assert kinds(results) == ["finished", "finished", "stopped"]


def test_batches_take_turns_in_the_order_they_came(
    engine: EngineProcess, track: TrackFactory
) -> None:
    order: list[int] = []

    def note(event: Event) -> None:
        if isinstance(event, Finished):
            order.append(event.track_id)

    with ThreadPoolExecutor(3) as pool:
        pending = []
        for first in (10, 20, 30):
            batch = [track(first), track(first + 1)]
            pending.append(pool.submit(engine.run, batch, note))
            wait_until(lambda: engine.depth == len(pending) or bool(order))
        assert [kinds(future.result()) for future in pending] == [["finished"] * 2] * 3
    assert order == [10, 11, 20, 21, 30, 31]


def test_a_waiting_batch_is_stopped_without_waiting_for_its_turn(
    engine: EngineProcess, track: TrackFactory
) -> None:
    begun, answered = threading.Event(), threading.Event()

    def hold(event: Event) -> None:
        begun.set()
        if isinstance(event, Progress) and event.stage == "denoise":
            assert answered.wait(60)

    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(engine.run, [track(1)], hold)
        assert begun.wait(60)
        waiting = pool.submit(engine.run, [track(2), track(3)])
        wait_until(lambda: engine.depth == 2)
        engine.stop_current([2, 3])
        assert kinds(waiting.result(60)) == ["stopped", "stopped"]
        answered.set()
        assert kinds(running.result()) == ["finished"]


def test_a_listener_that_fails_changes_nothing(engine: EngineProcess, track: TrackFactory) -> None:
    def fail(event: Event) -> None:
        raise RuntimeError(f"no use for {event.type}")

    assert kinds(engine.run([track(1), track(2)], fail)) == ["finished", "finished"]


def test_an_empty_batch_is_done(engine: EngineProcess) -> None:
    assert engine.run([]) == []
