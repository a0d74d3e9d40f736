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
from trackfarm_worker.engine.options import Options, SyntheticCost
from trackfarm_worker.engine.parent.client import EngineProcess
from trackfarm_worker.engine.parent.settings import EngineSettings
from trackfarm_worker.engine.parent.supervisor import EngineStartFailed
from trackfarm_worker.engine.protocol import EngineProgress, Event, Finished, TrackFailedReport
from trackfarm_worker.models.checkpoint import COMPONENTS


def strike(engine: EngineProcess, track_id: int, number: int) -> Callable[[Event], None]:
    """Return a listener that sends a signal to the engine during the denoising of every batch with
    a track."""

    def listener(event: Event) -> None:
        if isinstance(event, EngineProgress) and track_id in event.track_ids:
            pid = engine.pid
            if pid and (event.stage, event.step) == ("denoise", 1):
                os.kill(pid, number)

    return listener


@pytest.mark.soak
def test_a_poisoned_track_is_found_by_halves_and_costs_no_other(
    engine: EngineProcess, track: TrackFactory
) -> None:
    before = engine.restarts
    batch = [track(i, steps=4) for i in range(1, 6)]
    results = engine.run(batch, strike(engine, 4, signal.SIGKILL))
    assert [result.type for result in results] == [*["finished"] * 3, "failed", "finished"]
    failed = results[3]
    assert isinstance(failed, TrackFailedReport)
    assert failed.kind == FailureKind.ENGINE_DIED
    assert "status -9" in failed.message
    # 1-5, 4-5, 4: one bad track of five costs three engines.
    wait_until(lambda: engine.restarts == before + 3)
    wait_until(lambda: engine.pid is not None)
    for result in results:
        if isinstance(result, Finished):
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
def test_a_lost_engine_costs_the_track_it_made_alone_and_is_replaced(
    engine: EngineProcess, track: TrackFactory, number: int, kind: FailureKind, words: str
) -> None:
    before, pid = engine.restarts, engine.pid
    batch = [track(1), track(2, steps=4, duration=3.0), track(3)]
    first, second, third = engine.run(batch, strike(engine, 2, number))
    assert isinstance(first, Finished)
    assert isinstance(second, TrackFailedReport)
    assert isinstance(third, Finished)
    assert second.kind == kind
    assert words in second.message
    wait_until(lambda: engine.restarts == before + 1)
    wait_until(lambda: engine.pid is not None)
    assert pid
    assert not is_running(pid)


@pytest.mark.soak
def test_an_idle_engine_is_replaced_before_anyone_needs_it(
    engine: EngineProcess, track: TrackFactory
) -> None:
    before, pid = engine.restarts, engine.pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: engine.pid not in {None, pid})
    assert engine.restarts == before + 1
    assert isinstance(engine.run([track(1)])[0], Finished)


def test_audio_is_the_same_from_another_process(engine: EngineProcess, track: TrackFactory) -> None:
    one = engine.run([track(1, seed=11)])[0]
    pid = engine.pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    two = engine.run([track(1, seed=11)])[0]
    assert isinstance(one, Finished)
    assert isinstance(two, Finished)
    assert one.path.read_bytes() == two.path.read_bytes()


def test_closing_stops_what_runs_and_leaves_no_process(
    models: Path, tmp_path: Path, track: TrackFactory
) -> None:
    settings = EngineSettings(model_set="tiny", spool=tmp_path, source=models, step_delay=0.05)
    engine = EngineProcess(settings)
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
from trackfarm_worker.engine.parent.client import EngineProcess
from trackfarm_worker.engine.parent.settings import EngineSettings

models, spool = map(Path, sys.argv[1:])
settings = EngineSettings(model_set="tiny", spool=spool, source=models, step_delay=0.5)
engine = EngineProcess(settings)
engine.start()
track = EngineTrack(track_id=1, prompt="rain", duration=1, seed=1, steps=200)
engine.run([track], lambda event: print(engine.pid, event.stage, flush=True))
"""


def test_the_engine_ends_with_its_killed_parent_in_mid_denoise(
    models: Path, tmp_path: Path
) -> None:
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


def test_an_engine_that_cannot_come_back_is_an_error_its_owner_sees(
    engine: EngineProcess, models: Path, tmp_path: Path, track: TrackFactory
) -> None:
    folder = checkpoint_copy(models, tmp_path / "checkpoint")
    settings = EngineSettings(
        model_set="acestep-v15-turbo", dtype="float32", spool=tmp_path / "spool", source=folder
    )
    with EngineProcess(settings) as other:
        other.start()
        assert isinstance(other.run([track(1)])[0], Finished)
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
def test_a_start_that_fails_says_why(tmp_path: Path, model_set: str, match: str) -> None:
    settings = EngineSettings(model_set=model_set, spool=tmp_path, source=tmp_path)
    engine = EngineProcess(settings)
    with pytest.raises(EngineStartFailed, match=match):
        engine.start()
    engine.close()
    assert engine.pid is None


@pytest.mark.parametrize("values", [{"threads": 0}, {"step_delay": 200.0}, {"step_delay": -1.0}])
def test_settings_that_cannot_work_are_refused(tmp_path: Path, values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(values))} must be"):
        EngineSettings(model_set="tiny", spool=tmp_path, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("device", "options"),
    [("synthetic", Options()), ("cpu", Options(synthetic=SyntheticCost()))],
)
def test_the_synthetic_device_is_had_by_naming_it_twice(
    tmp_path: Path, device: str, options: Options
) -> None:
    with pytest.raises(ValueError, match="makes no music"):
        EngineSettings(model_set="tiny", spool=tmp_path, device=device, options=options)
