"""Engine client with a real process and the tiny model set."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.worker.engine.builders import TrackFactory
from tests.worker.engine.mixtures import KINDS, SourceFiles, mixture
from tests.worker.waiting import wait_until
from trackfarm.atomic_file import part_of
from trackfarm.model_sets import model_set
from trackfarm.protocol.worker import FailureKind
from trackfarm_worker.engine.parent.client import EngineClient
from trackfarm_worker.engine.parent.settings import EngineSettings
from trackfarm_worker.engine.protocol import (
    EngineEvent,
    EngineProgress,
    FailedTrack,
    FinishedTrack,
    TrackResult,
)


def kinds(results: list[TrackResult]) -> list[str]:
    return [result.type for result in results]


def samples(result: TrackResult) -> bytes:
    assert isinstance(result, FinishedTrack)
    return result.path.read_bytes()


def difference(one: TrackResult, other: TrackResult) -> int:
    """Return the largest difference of 16-bit samples."""
    audio = []
    for result in (one, other):
        assert isinstance(result, FinishedTrack)
        audio.append(np.load(result.path, allow_pickle=False).astype(np.int32))
    return int(np.abs(audio[0] - audio[1]).max())


def test_run_makes_files_of_exactly_the_requested_lengths(
    engine: EngineClient, track: TrackFactory
) -> None:
    durations = [1.0, 1.23456, 0.77]
    results = engine.run([track(i, duration=d) for i, d in enumerate(durations)])
    for result, duration in zip(results, durations, strict=True):
        assert isinstance(result, FinishedTrack)
        pcm = np.load(result.path, allow_pickle=False)
        assert pcm.dtype == np.int16
        assert pcm.shape == (result.frames, 2) == (round(duration * 48_000), 2)
        assert np.abs(pcm).max() == round(10 ** (-1 / 20) * 32767)
        assert result.measures.is_finite
        assert result.measures.peak_dbfs == pytest.approx(-1, abs=0.01)
        assert result.timings.denoise > 0
        assert result.timings.decode > 0


def test_run_reports_each_step_and_each_result_at_once(
    engine: EngineClient, track: TrackFactory
) -> None:
    events: list[EngineEvent] = []
    engine.run([track(1, steps=3), track(2, duration=2.0)], events.append)
    progress = [
        (event.stage, event.step, event.steps)
        for event in events
        if isinstance(event, EngineProgress) and event.track_ids == [1]
    ]
    denoised = [("denoise", step, 3) for step in (0, 1, 2, 3)]
    assert progress == [("condition", 0, 1), *denoised, ("decode", 1, 1)]
    order = [event.type for event in events if event.type != "progress"]
    assert order == ["finished", "finished"]
    at = next(i for i, event in enumerate(events) if isinstance(event, FinishedTrack))
    assert isinstance(events[at - 1], EngineProgress)
    assert isinstance(events[at + 1], EngineProgress)


def test_run_fails_invalid_tracks_and_makes_the_others(
    engine: EngineClient, track: TrackFactory
) -> None:
    tracks = [
        track(1, task_type="sing"),
        track(2),
        track(3, steps=201),
        track(4, duration=0),
        track(5),
    ]
    results = engine.run(tracks)
    assert kinds(results) == ["failed", "finished", "failed", "failed", "finished"]
    failures = [result for result in results if isinstance(result, FailedTrack)]
    assert [failure.kind for failure in failures] == [
        FailureKind.UNSUPPORTED_TASK,
        FailureKind.BAD_INPUT,
        FailureKind.BAD_INPUT,
    ]
    assert "steps must be 1 to 200" in failures[1].message


def test_run_makes_the_same_track_alone_and_among_others(
    engine: EngineClient, track: TrackFactory
) -> None:
    alone = engine.run([track(1, seed=7)])[0]
    tracks = [track(9, seed=3, guidance=5.0), track(1, seed=7), track(2, seed=8, steps=4)]
    first, second, other = engine.run(tracks)
    assert difference(alone, second) <= 1
    assert difference(second, first) > 100
    assert difference(second, other) > 100


def test_run_makes_all_tasks_with_the_lengths_of_their_sources(
    engine: EngineClient, sounds: SourceFiles
) -> None:
    tracks = mixture(6, sounds, tracks=len(KINDS), seconds=(2.0, 3.0))
    assert {t.task_type for t in tracks} == set(model_set("tiny").tasks)
    for result, request in zip(engine.run(tracks), tracks, strict=True):
        assert isinstance(result, FinishedTrack), result
        if request.source:
            assert result.frames == len(np.load(request.source, mmap_mode="r"))


def test_timings_of_tracks_add_up_to_the_time_of_the_run(
    engine: EngineClient, track: TrackFactory
) -> None:
    began = time.monotonic()
    results = engine.run([track(i, guidance=1.0 + i % 2) for i in range(6)])
    elapsed = time.monotonic() - began
    timings = [result.timings for result in results if isinstance(result, FinishedTrack)]
    assert len(timings) == 6
    assert 0.8 * elapsed < sum(t.service for t in timings) <= elapsed
    assert all(t.condition + t.denoise + t.decode <= t.service for t in timings)
    guided, plain = timings[1].denoise, timings[0].denoise
    assert guided > plain


@pytest.mark.parametrize("change", [{"prompt": "snow"}, {"shift": 1.0}, {"guidance": 4.0}])
def test_run_follows_prompt_shift_and_guidance(
    engine: EngineClient, track: TrackFactory, change: dict[str, object]
) -> None:
    plain, changed = engine.run([track(1, seed=7), track(2, seed=7, **change)])
    assert samples(plain) != samples(changed)


def test_stop_keeps_finished_tracks_and_ends_the_others_between_two_steps(
    engine: EngineClient, track: TrackFactory
) -> None:
    events: list[EngineEvent] = []

    def stop_in_second(event: EngineEvent) -> None:
        events.append(event)
        if isinstance(event, EngineProgress) and 2 in event.track_ids and event.stage == "denoise":
            engine.stop_current()

    tracks = [track(1), track(2, steps=200, duration=2.0), track(3, duration=4.0)]
    assert kinds(engine.run(tracks, stop_in_second)) == ["finished", "stopped", "stopped"]
    steps = [e.step for e in events if isinstance(e, EngineProgress) and 2 in e.track_ids]
    assert max(steps) < 20
    assert kinds(engine.run([track(2)])) == ["finished"]


def test_stop_ends_single_tracks(engine: EngineClient, track: TrackFactory) -> None:
    events: list[EngineEvent] = []

    def stop_third(event: EngineEvent) -> None:
        events.append(event)
        if isinstance(event, EngineProgress) and (event.stage, event.step) == ("denoise", 1):
            engine.stop_current([3])

    results = engine.run([track(1, steps=30), track(2, steps=30), track(3, steps=30)], stop_third)
    assert kinds(results) == ["finished", "finished", "stopped"]
    steps = [e.step for e in events if isinstance(e, EngineProgress) and 3 in e.track_ids]
    assert max(steps) < 20


def test_runs_are_served_in_the_order_of_arrival(engine: EngineClient, track: TrackFactory) -> None:
    order: list[int] = []

    def note(event: EngineEvent) -> None:
        if isinstance(event, FinishedTrack):
            order.append(event.track_id)

    with ThreadPoolExecutor(3) as pool:
        pending = []
        for first in (10, 20, 30):
            tracks = [track(first), track(first + 1)]
            pending.append(pool.submit(engine.run, tracks, note))
            wait_until(lambda: engine.depth == len(pending) or bool(order))
        assert [kinds(future.result()) for future in pending] == [["finished"] * 2] * 3
    assert order == [10, 11, 20, 21, 30, 31]


def test_next_run_computes_while_the_last_tracks_are_written(
    models: Path, tmp_path: Path, track: TrackFactory
) -> None:
    """A named pipe in place of the file blocks the writer until the test reads it; being no file,
    it then makes the write fail."""
    settings = EngineSettings(model_set="tiny", spool=tmp_path, model_path=models)
    blocked = part_of(tmp_path / "1-1.npy")
    with EngineClient(settings) as own, ThreadPoolExecutor(2) as pool:
        own.start()
        os.mkfifo(blocked)
        has_begun, decoded = threading.Event(), threading.Event()
        first = pool.submit(own.run, [track(1)], lambda _: has_begun.set())
        assert has_begun.wait(60)

        def note(event: EngineEvent) -> None:
            if isinstance(event, EngineProgress) and event.stage == "decode":
                decoded.set()

        second = pool.submit(own.run, [track(2)], note)
        assert decoded.wait(60)
        assert not first.done()
        blocked.read_bytes()
        assert kinds(first.result(60)) == ["failed"]
        assert kinds(second.result(60)) == ["finished"]


def test_stop_answers_a_queued_run_at_once(engine: EngineClient, track: TrackFactory) -> None:
    has_begun, answered = threading.Event(), threading.Event()

    def hold(event: EngineEvent) -> None:
        has_begun.set()
        if isinstance(event, EngineProgress) and event.stage == "denoise":
            assert answered.wait(60)

    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(engine.run, [track(1)], hold)
        assert has_begun.wait(60)
        waiting = pool.submit(engine.run, [track(2), track(3)])
        wait_until(lambda: engine.depth == 2)
        engine.stop_current([2, 3])
        assert kinds(waiting.result(60)) == ["stopped", "stopped"]
        answered.set()
        assert kinds(running.result()) == ["finished"]


def test_run_ignores_errors_of_its_listener(engine: EngineClient, track: TrackFactory) -> None:
    def fail(event: EngineEvent) -> None:
        raise RuntimeError(f"no use for {event.type}")

    assert kinds(engine.run([track(1), track(2)], fail)) == ["finished", "finished"]


def test_run_without_tracks_is_done(engine: EngineClient) -> None:
    assert engine.run([]) == []
