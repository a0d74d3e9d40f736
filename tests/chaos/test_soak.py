"""Random faults, again and again: every track is made, and made once."""

import os
import random
import signal
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.chaos.busy import submit_job
from tests.end_to_end.farm import LocalFarm, running_farm
from tests.end_to_end.job_checks import assert_made_exactly_once, wait_until_done
from tests.end_to_end.processes import engine_of, kill
from tests.servers.process import wait_until
from trackfarm.protocol.operator import WorkerState

TRACKS = 300
WORKER_NAMES = ("one", "two", "three")
SLOW_STEPS = {"step_delay": 0.15}
RECOVERED_S = 90


@pytest.fixture
def long_chaos_farm(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalFarm]:
    with running_farm(
        request, tmp_path_factory, workers=WORKER_NAMES, worker=SLOW_STEPS
    ) as running:
        yield running


class RandomFaults:
    """Random faults in a farm. The farm recovers without help, except that killed workers are
    restarted."""

    def __init__(self, farm: LocalFarm, dice: random.Random) -> None:
        self._farm = farm
        self._dice = dice
        self._faults: list[Callable[[], None]] = [
            self.kill_worker,
            self.terminate_worker,
            self.freeze_worker,
            self.kill_engine,
            self.kill_scheduler,
            self.empty_broker,
        ]
        self.injected: list[str] = []

    def inject(self) -> None:
        fault = self._dice.choice(self._faults)
        self.injected.append(fault.__name__)
        fault()

    def kill_worker(self) -> None:
        name = self._dice.choice(WORKER_NAMES)
        self._farm.workers[name].kill()
        self._farm.start_worker_process(name, **SLOW_STEPS)

    def terminate_worker(self) -> None:
        name = self._dice.choice(WORKER_NAMES)
        self._farm.workers[name].stop()
        self._farm.start_worker_process(name, **SLOW_STEPS)

    def freeze_worker(self) -> None:
        """Freeze a worker until the farm has given it up."""
        name = self._dice.choice(WORKER_NAMES)
        os.kill(self._farm.workers[name].pid, signal.SIGSTOP)
        given_up = {WorkerState.LOST, WorkerState.GONE}
        wait_until(
            lambda: self._farm.database.newest_worker(name).state in given_up,
            timeout_s=RECOVERED_S,
            what=f"{name} is lost",
        )
        os.kill(self._farm.workers[name].pid, signal.SIGCONT)

    def kill_engine(self) -> None:
        engine = engine_of(self._farm.workers[self._dice.choice(WORKER_NAMES)].pid)
        if engine is not None:
            kill(engine)

    def kill_scheduler(self) -> None:
        self._farm.kill_scheduler()
        self._farm.start_scheduler()

    def empty_broker(self) -> None:
        self._farm.infrastructure.broker.restart_empty()


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_random_faults_lose_and_repeat_no_track(long_chaos_farm: LocalFarm) -> None:
    seed = random.randrange(10**6)
    print(f"chaos with seed {seed}")
    faults = RandomFaults(long_chaos_farm, random.Random(seed))
    job = submit_job(long_chaos_farm, TRACKS)
    database = long_chaos_farm.database
    for goal in range(10, TRACKS + 1, 10):
        faults.inject()
        wait_until(
            partial(database.has_done, job, goal),
            timeout_s=RECOVERED_S,
            what=f"the farm goes on after {faults.injected[-3:]}",
        )
    print(f"{len(faults.injected)} faults: {sorted(faults.injected)}")
    wait_until_done(long_chaos_farm, job)
    long_chaos_farm.start_workers(*WORKER_NAMES, **SLOW_STEPS)
    assert_made_exactly_once(long_chaos_farm, job)
