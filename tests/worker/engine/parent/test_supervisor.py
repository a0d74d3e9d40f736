"""Engine processes that are killed, hang, fail to load or are closed."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.worker.engine.builders import TrackFactory
from tests.worker.waiting import is_running, wait_until
from trackfarm.protocol.worker import FailureKind
from trackfarm_worker.engine.parent.client import EngineClient
from trackfarm_worker.engine.parent.settings import EngineSettings
from trackfarm_worker.engine.parent.supervisor import EngineStartFailed
from trackfarm_worker.engine.protocol import EngineEvent, EngineProgress, FailedTrack, FinishedTrack
from trackfarm_worker.models.checkpoint import COMPONENTS


def kill_at_denoise(
    engine: EngineClient, track_id: int, number: int
) -> Callable[[EngineEvent], None]:
    """Return a listener that sends a signal to the engine during the denoising of every batch with
    a track."""

    def listener(event: EngineEvent) -> None:
        if isinstance(event, EngineProgress) and track_id in event.track_ids:
            pid = engine.pid
            if pid and (event.stage, event.step) == ("denoise", 1):
                os.kill(pid, number)

    return listener


@pytest.mark.soak
def test_poisoned_track_is_found_by_bisection_and_costs_no_other(
    engine: EngineClient, track: TrackFactory
) -> None:
    before = engine.restarts
    tracks = [track(i, steps=4) for i in range(1, 6)]
    results = engine.run(tracks, kill_at_denoise(engine, 4, signal.SIGKILL))
    assert [result.type for result in results] == [*["finished"] * 3, "failed", "finished"]
    failed = results[3]
    assert isinstance(failed, FailedTrack)
    assert failed.kind == FailureKind.ENGINE_DIED
    assert "status -9" in failed.message
    # 1-5, 4-5, 4: one bad track of five costs three engines.
    wait_until(lambda: engine.restarts == before + 3)
    wait_until(lambda: engine.pid is not None)
    for result in results:
        if isinstance(result, FinishedTrack):
            assert np.load(result.path, allow_pickle=False).shape == (48_000, 2)


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (signal.SIGKILL, FailureKind.ENGINE_DIED, "status -9"),
        pytest.param(
            signal.SIGSTOP,
            FailureKind.ENGINE_HUNG,
            "not respond for 10 s",
            marks=[pytest.mark.soak],
        ),
    ],
)
def test_lost_engine_costs_the_track_it_made_alone_and_is_replaced(
    engine: EngineClient, track: TrackFactory, number: int, kind: FailureKind, words: str
) -> None:
    before, pid = engine.restarts, engine.pid
    tracks = [track(1), track(2, steps=4, duration=3.0), track(3)]
    first, second, third = engine.run(tracks, kill_at_denoise(engine, 2, number))
    assert isinstance(first, FinishedTrack)
    assert isinstance(second, FailedTrack)
    assert isinstance(third, FinishedTrack)
    assert second.kind == kind
    assert words in second.message
    wait_until(lambda: engine.restarts == before + 1)
    wait_until(lambda: engine.pid is not None)
    assert pid
    assert not is_running(pid)


@pytest.mark.soak
def test_idle_engine_is_replaced_at_once(engine: EngineClient, track: TrackFactory) -> None:
    before, pid = engine.restarts, engine.pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: engine.pid not in {None, pid})
    assert engine.restarts == before + 1
    assert isinstance(engine.run([track(1)])[0], FinishedTrack)


def test_replaced_engine_makes_the_same_audio(engine: EngineClient, track: TrackFactory) -> None:
    one = engine.run([track(1, seed=11)])[0]
    pid = engine.pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    two = engine.run([track(1, seed=11)])[0]
    assert isinstance(one, FinishedTrack)
    assert isinstance(two, FinishedTrack)
    assert one.path.read_bytes() == two.path.read_bytes()


def test_close_stops_the_run_and_ends_the_process(
    models: Path, tmp_path: Path, track: TrackFactory
) -> None:
    settings = EngineSettings(model_set="tiny", spool=tmp_path, model_path=models, step_delay=0.05)
    engine = EngineClient(settings)
    ready = engine.start()
    assert set(ready.digests) == set(COMPONENTS)
    assert ready.model_set == "tiny@1"
    pid = engine.pid
    assert pid
    begun = threading.Event()
    endless = track(1, steps=200)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(engine.run, [endless], lambda _: begun.set())
        assert begun.wait(60)
        engine.close()
        assert [result.type for result in running.result(60)] == ["stopped"]
    engine.close()
    assert not is_running(pid)
    assert engine.pid is None
    assert [result.type for result in engine.run([endless])] == ["stopped"]
    assert engine.restarts == 0


OWNER = """
import sys, time
from pathlib import Path
from trackfarm_worker.engine.protocol import EngineTrack
from trackfarm_worker.engine.parent.client import EngineClient
from trackfarm_worker.engine.parent.settings import EngineSettings

models, spool = map(Path, sys.argv[1:])
settings = EngineSettings(model_set="tiny", spool=spool, model_path=models, step_delay=0.5)
engine = EngineClient(settings)
engine.start()
track = EngineTrack(track_id=1, prompt="rain", duration=1, seed=1, steps=200)
engine.run([track], lambda event: print(engine.pid, event.stage, flush=True))
"""


def test_engine_ends_with_its_killed_parent_during_denoising(models: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", OWNER, str(models), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        pid, stage = 0, ""
        while stage != "denoise":
            words = owner.stdout.readline().split()
            pid, stage = int(words[0]), words[1]
        assert is_running(pid)
        owner.kill()
    wait_until(lambda: not is_running(pid), 10)


def checkpoint_copy(models: Path, target: Path) -> Path:
    (source,) = models.glob("tiny-*")
    shutil.copytree(source, target)
    return target


def test_engine_that_cannot_be_restarted_is_an_error(
    engine: EngineClient, models: Path, tmp_path: Path, track: TrackFactory
) -> None:
    folder = checkpoint_copy(models, tmp_path / "checkpoint")
    settings = EngineSettings(
        model_set="acestep-v15-turbo", dtype="float32", spool=tmp_path / "spool", model_path=folder
    )
    with EngineClient(settings) as other:
        other.start()
        assert isinstance(other.run([track(1)])[0], FinishedTrack)
        shutil.rmtree(folder / "vae")
        pid = other.pid
        assert pid
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: other.failure is not None)
        with pytest.raises(EngineStartFailed, match="vae"):
            other.run([track(1)])
        assert other.restarts == 1


@pytest.mark.parametrize(
    ("model_set", "match"),
    [
        ("acestep-v15-turbo", "model_index.json is missing.*point the worker"),
        ("acestep-v3", r"(?s)ended with status 1.*unknown model set 'acestep-v3'"),
    ],
)
def test_start_that_fails_says_why(tmp_path: Path, model_set: str, match: str) -> None:
    settings = EngineSettings(model_set=model_set, spool=tmp_path, model_path=tmp_path)
    engine = EngineClient(settings)
    with pytest.raises(EngineStartFailed, match=match):
        engine.start()
    engine.close()
    assert engine.pid is None
