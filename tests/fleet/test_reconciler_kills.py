"""The fleet process is killed at every step of a rental's life: no orphan, no second machine."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.fleet.fakes import runpod
from tests.fleet.fakes.account import Account
from tests.fleet.fleet_fixture import FleetFixture
from tests.fleet.kill_switch import KillSwitch, call_to_farm, call_to_runpod, forwarding
from tests.fleet.wall_clock import WallClock
from tests.scheduler.api_fixture import API_KEY, ApiFixture
from tests.scheduler.farm_fixture import FarmFixture, briefs
from tests.servers.process import Process
from tests.servers.scripted_http import scripted_server
from trackfarm_fleet.billing.job_costs import total_breakdown
from trackfarm_fleet.providers.runpod import RunPodProvider
from trackfarm_fleet.rentals.tags import Tags
from trackfarm_fleet.scheduler_client import FleetClient
from trackfarm_scheduler.db.database import Database

STEP_S = 0.1
LIFE_S = 60.0
SETTINGS = {
    "RULES": '{"horizon_seconds": 600, "min_hold_seconds": 0.2, "idle_timeout_seconds": 0.5,'
    ' "drain_seconds": 1}',
    "TIMEOUTS": '{"create_timeout_seconds": 2, "missing_timeout_seconds": 2,'
    ' "boot_timeout_seconds": 20, "heartbeat_timeout_seconds": 10, "drain_timeout_seconds": 10,'
    ' "terminate_retry_seconds": 0.5}',
    "TICK_SECONDS": "0.2",
    "LEASE_SECONDS": "1",
    "MAX_MACHINES": "1",
    "IMAGE": "registry.example/worker:1",
    "RUNPOD_KEY": runpod.KEY,
}
STEPS = (
    "lease",
    "list",
    "state",
    "offers",
    "create intent",
    "create",
    "note created",
    "note booting",
    "note joined",
    "note draining",
    "drain",
    "note ending",
    "terminate",
    "note asked to end",
    "note ended",
)


@pytest.fixture
def sqlite_farm(sqlite_database: Database, monkeypatch: pytest.MonkeyPatch) -> FarmFixture:
    monkeypatch.setattr("tests.scheduler.farm_fixture.Clock", WallClock)
    return FarmFixture(sqlite_database)


class FleetProcess:
    """A real fleet process between a scheduler and an account, with a tripwire on both
    connections."""

    def __init__(self, api: ApiFixture, folder: Path, opened: ExitStack) -> None:
        self.wire = KillSwitch()
        self.account = Account()
        self.account.clock = WallClock()
        self.account.boot_seconds = 2.0  # so that a round observes its boot
        fake = runpod.FakeRunPod(self.account).reply
        to_provider = scripted_server(self.wire.around(fake, call_to_runpod))
        provider_url = opened.enter_context(to_provider).url
        to_farm = scripted_server(self.wire.around(forwarding(api.url), call_to_farm))
        farm_url = opened.enter_context(to_farm).url
        farm = opened.enter_context(FleetClient(api.url, API_KEY, retry_seconds=0))
        key, prefix = SecretStr(runpod.KEY), Tags(farm.fleet_lease().farm).prefix
        provider = RunPodProvider(key, prefix=prefix, url=provider_url)
        opened.callback(provider.close)
        self.fixture = FleetFixture(api, farm, self.account, provider, "tiny")
        settings = {f"TRACKFARM_FLEET_{name}": value for name, value in SETTINGS.items()}
        settings |= {"TRACKFARM_URL": farm_url, "TRACKFARM_API_KEY": API_KEY}
        settings |= {"TRACKFARM_FLEET_RUNPOD_URL": provider_url}
        self._env = {**os.environ, **settings}
        self.log = folder / "fleet.log"
        self._opened = opened
        self.fleet = self.start()

    def start(self) -> Process:
        command = [sys.executable, "-P", "-m", "trackfarm_fleet"]
        process = Process(command, log=self.log, env=self._env)
        self._opened.callback(process.stop)
        self.wire.pid = process.pid
        return process

    def restart(self, **settings: str) -> None:
        """Restart the process with other settings."""
        self.fleet.stop()
        self._env |= {f"TRACKFARM_FLEET_{name}": value for name, value in settings.items()}
        self.fleet = self.start()

    def live_until(self, done: Callable[[], bool]) -> None:
        until = time.monotonic() + LIFE_S
        while not done():
            assert time.monotonic() < until, self.log.read_text()[-3000:]
            self.fixture.live(STEP_S)

    def live_to_the_end(self) -> None:
        """Run until a job is done and its machine returned, with kills on the way."""
        until = time.monotonic() + LIFE_S
        while time.monotonic() < until:
            self.fixture.live(STEP_S)
            if not self.fleet.is_running:
                self.fleet = self.start()
            if self.fixture.is_done() and self._is_over():
                return
        raise AssertionError(f"{self.wire.calls[-20:]}\n{self.log.read_text()[-3000:]}")

    def _is_over(self) -> bool:
        rentals = self.fixture.rentals()
        return bool(rentals) and not any(rental.is_open for rental in rentals)


@pytest.fixture
def fleet_process(api: ApiFixture, tmp_path: Path) -> Iterator[FleetProcess]:
    with ExitStack() as opened:
        yield FleetProcess(api, tmp_path, opened)


def survives(fleet_process: FleetProcess, name: str, *, after: bool) -> None:
    fleet_process.fixture.job = fleet_process.fixture.scene.submit(briefs(8)).job_id
    fleet_process.wire.moment = (name, after)
    fleet_process.live_to_the_end()
    assert fleet_process.wire.moment is None, (
        f"{name} never came: {sorted(set(fleet_process.wire.calls))}"
    )
    account = fleet_process.account
    assert account.running() == [], "an orphan"
    assert len(account.machines) == 1, "a machine was rented twice"
    assert fleet_process.fixture.scene.states(fleet_process.fixture.job) == {"done": 8}
    bill = total_breakdown(fleet_process.fixture.farm.usage(ended_since=0), time.time()).bill
    assert bill == pytest.approx(float(account.bill()), abs=0.01)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.soak
def test_fleet_process_killed_at_any_step_continues(
    fleet_process: FleetProcess, step: str, *, after: bool
) -> None:
    survives(fleet_process, step, after=after)


@pytest.mark.soak
@pytest.mark.parametrize("returning", [False, True], ids=["left", "returned"])
def test_fleet_process_on_exit_leaves_its_rentals_or_returns_them(
    fleet_process: FleetProcess, *, returning: bool
) -> None:
    fleet_process.restart(RETURN_ALL=str(returning).lower())
    fleet_process.fixture.job = fleet_process.fixture.scene.submit(briefs(4000)).job_id
    fleet_process.live_until(lambda: bool(fleet_process.fixture.fake_workers))
    fleet_process.fleet.terminate()
    fleet_process.live_until(lambda: not fleet_process.fleet.is_running)
    assert bool(fleet_process.account.running()) is not returning
    assert ("rentals_still_open" in fleet_process.log.read_text()) is not returning
    assert all(rental.is_open is not returning for rental in fleet_process.fixture.rentals())
    assert fleet_process.fixture.farm.fleet_lease().seconds == 0, "another process may lead at once"


def test_fleet_process_killed_after_create_finds_the_machine(fleet_process: FleetProcess) -> None:
    survives(fleet_process, "create", after=True)
