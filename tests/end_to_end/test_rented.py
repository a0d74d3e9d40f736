"""`trackfarm run` with real workers: on this machine, and at a fake provider full of failures."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.chaos.busy import submit_job
from tests.deploy import tools
from tests.end_to_end.catalogs import fresh_name, short_briefs, write_catalog
from tests.end_to_end.farm import LocalFarm, running_farm
from tests.end_to_end.hardware import MachineProcesses
from tests.end_to_end.job_checks import assert_made_exactly_once
from tests.fleet.fakes import runpod, vast
from tests.fleet.fakes.account import Account, Fault
from tests.fleet.wall_clock import WallClock
from tests.servers.process import wait_until
from tests.servers.scripted_http import scripted_server
from trackfarm_fleet.providers.local import LocalProvider

pytestmark = [pytest.mark.soak, pytest.mark.timeout(400)]
RUN_S = 300.0
TRACKS = 60
TINY = ["--model-set", "tiny"]
TIMEOUTS = {
    "create_timeout_seconds": 20,
    "missing_timeout_seconds": 3,
    "boot_timeout_seconds": 90,
    "heartbeat_timeout_seconds": 40,
    "stopped_timeout_seconds": 10,
    "terminate_retry_seconds": 2,
}


@pytest.fixture(scope="module")
def farm(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalFarm]:
    with running_farm(request, tmp_path_factory) as running:
        yield running


class TypedCommand:
    """A running command; its output goes into files, which unlike pipes never block it."""

    def __init__(self, farm: LocalFarm, *words: str, **env: str) -> None:
        settings = {"TRACKFARM_FLEET_FOLDER": str(farm.folder / "fleet"), **env}
        self._out = farm.folder / f"{fresh_name('command')}.out"
        self._err = self._out.with_suffix(".err")
        with self._out.open("w") as out, self._err.open("w") as err:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "trackfarm.cli", *words],
                env={**farm.environment(), **settings},
                stdout=out,
                stderr=err,
            )

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def wait_for_output(self) -> str:
        """Wait until it has ended successfully; return its output."""
        assert self._process.wait(RUN_S) == 0, self._err.read_text()
        return self._out.read_text()


def catalog(farm: LocalFarm, stem: str) -> str:
    path = farm.folder / f"{fresh_name(stem)}.csv"
    return str(write_catalog(path, short_briefs(TRACKS)))


def final_result(farm: LocalFarm, out: str) -> Any:
    ending = json.loads(out.splitlines()[-1])
    assert (ending["job"]["state"], ending["tracks"], ending["left"]) == ("done", TRACKS, 0)
    assert_made_exactly_once(farm, ending["job"]["id"])
    return ending


def test_run_makes_a_catalog_on_local_workers(farm: LocalFarm) -> None:
    options = ["--provider", "local", "--machines", "2", "--budget", "5", "--yes", "--json", *TINY]
    run = TypedCommand(
        farm, "run", catalog(farm, "local"), *options, TRACKFARM_FLEET_LOCAL_PRICE="3.6"
    )
    ending = final_result(farm, run.wait_for_output())
    assert 0 < ending["bill"] < 5
    assert ending["hours"]["work"] > 0
    provider = LocalProvider([], prefix="tf-", folder=farm.folder)
    assert provider.instances() == []


class FaultyProvider:
    """A fake provider with real machines, and the settings of a run there."""

    def __init__(self, farm: LocalFarm, name: str, opened: ExitStack, **worker: object) -> None:
        self.farm, self.name = farm, name
        self.account = Account()
        self.account.clock = WallClock()
        self.account.boot_seconds = 0.5
        fake = runpod.FakeRunPod if name == "runpod" else vast.FakeVast
        key = runpod.KEY if name == "runpod" else vast.KEY
        inside = runpod.inside if name == "runpod" else vast.inside
        url = opened.enter_context(scripted_server(fake(self.account).reply)).url
        folder = farm.folder / f"machines-of-{name}-{time.time_ns()}"
        folder.mkdir()
        self.hardware = MachineProcesses(self.account, folder, url=url, inside=inside, **worker)
        opened.callback(self.hardware.stop)
        self.env = {
            f"TRACKFARM_FLEET_{name.upper()}_KEY": key,
            f"TRACKFARM_FLEET_{name.upper()}_URL": url,
            "TRACKFARM_FLEET_IMAGE": "registry.example/worker:1",
            "TRACKFARM_FLEET_TICK_SECONDS": "1",
            "TRACKFARM_FLEET_LEASE_SECONDS": "30",
            "TRACKFARM_FLEET_TIMEOUTS": json.dumps(TIMEOUTS),
        }

    def update_until(self, done: Any, *, what: str) -> None:
        def look() -> bool:
            self.hardware.update()
            return bool(done())

        wait_until(look, timeout_s=RUN_S, what=what)

    def made(self) -> int:
        jobs = self.farm.client.jobs(limit=1)
        return jobs[0].tracks.done if jobs and not jobs[0].state.ended else 0


@pytest.mark.parametrize("name", ["runpod", "vast"])
def test_run_makes_a_catalog_at_a_faulty_provider(farm: LocalFarm, name: str) -> None:
    with ExitStack() as opened:
        faulty_provider = FaultyProvider(farm, name, opened)
        account = faulty_provider.account
        account.inject("create", Fault.NO_CAPACITY, Fault.HANGS_UP_AFTER, Fault.DONE_TWICE)
        account.inject("list", None, Fault.RATE_LIMITED)
        options = ["--machines", "2", "--budget", "5", "--yes", "--json", *TINY]
        run = TypedCommand(farm, "run", catalog(farm, name), *options, **faulty_provider.env)
        opened.callback(run.stop)
        faulty_provider.update_until(
            lambda: faulty_provider.made() >= 10 or run.ended, what="begun"
        )
        busy = next(m for m in account.running() if m.id in faulty_provider.hardware.processes)
        if name == "vast":
            account.outbid(busy.id)
        else:
            account.vanish(busy.id)
        account.down = True
        down_until = time.monotonic() + 5
        faulty_provider.update_until(
            lambda: time.monotonic() > down_until, what="the outage is over"
        )
        account.down = False
        account.inject("terminate", Fault.SERVER_ERROR, Fault.SERVER_ERROR)
        faulty_provider.update_until(lambda: run.ended, what="the run has ended")
        ending = final_result(farm, run.wait_for_output())
        assert account.running() == []
        assert ending["bill"] == pytest.approx(float(account.bill()), abs=0.01)
        assert ending["bill"] < 5


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    archive, _ = tools.bundle(tmp_path_factory.mktemp("bundle"))
    return str(archive)


@pytest.mark.parametrize(
    ("name", "is_busy", "start"),
    [("runpod", True, "image"), ("vast", False, "image"), ("vast", True, "provision")],
)
def test_worker_of_a_dead_farm_terminates_its_own_rental(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    bundle: str,
    name: str,
    is_busy: bool,
    start: str,
) -> None:
    with running_farm(request, tmp_path_factory, bundle=bundle) as farm, ExitStack() as opened:
        faulty_provider = FaultyProvider(farm, name, opened, scheduler_timeout_seconds=4)
        settings = {**faulty_provider.env, "TRACKFARM_FLEET_START": start}
        up = TypedCommand(farm, "fleet", "up", "--yes", *TINY, **settings)
        opened.callback(up.stop)
        faulty_provider.update_until(lambda: up.ended, what="a machine is up")
        assert up.wait_for_output()
        (machine,) = faulty_provider.account.running()
        worker = faulty_provider.hardware.processes[machine.id]
        if is_busy:
            submit_job(farm, TRACKS)
            faulty_provider.update_until(lambda: faulty_provider.made() >= 1, what="it delivers")
            faulty_provider.account.inject("terminate", *[Fault.SERVER_ERROR] * 3)
        farm.kill_scheduler()
        wait_until(lambda: machine.ended_at is not None, timeout_s=60, what="it ends itself")
        wait_until(lambda: not worker.is_running, timeout_s=30, what="and goes")
