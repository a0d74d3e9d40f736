"""`trackfarm run` and `trackfarm fleet` as typed by an operator, with fake machines over HTTP."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tests.fleet.fakes import runpod
from tests.fleet.fakes.account import Account
from tests.fleet.fleet_fixture import FleetFixture
from tests.fleet.wall_clock import WallClock
from tests.scheduler.api_fixture import API_KEY, ApiFixture
from tests.scheduler.farm_fixture import FarmFixture
from tests.servers.scripted_http import scripted_server
from trackfarm_fleet.providers.runpod import RunPodProvider
from trackfarm_fleet.rentals.tags import Tags
from trackfarm_fleet.scheduler_client import FleetClient
from trackfarm_scheduler.db.database import Database

TRACKS = 12
LIFE_S = 45.0
SETTINGS = {
    "TRACKFARM_FLEET_IMAGE": "registry.example/worker:1",
    "TRACKFARM_FLEET_TICK_SECONDS": "0.3",
    "TRACKFARM_FLEET_LEASE_SECONDS": "5",
    "RUNPOD_API_KEY": runpod.KEY,
}


@pytest.fixture
def sqlite_farm(sqlite_database: Database, monkeypatch: pytest.MonkeyPatch) -> FarmFixture:
    monkeypatch.setattr("tests.scheduler.farm_fixture.Clock", WallClock)
    return FarmFixture(sqlite_database)


class Operator:
    """Runs commands while the simulated world continues."""

    def __init__(self, api: ApiFixture, folder: Path, opened: ExitStack) -> None:
        self.account = Account()
        self.account.clock = WallClock()
        self.account.boot_seconds = 0.2
        url = opened.enter_context(scripted_server(runpod.FakeRunPod(self.account).reply)).url
        farm = opened.enter_context(FleetClient(api.url, API_KEY, retry_seconds=0))
        prefix = Tags(farm.fleet_lease().farm).prefix
        provider = RunPodProvider(SecretStr(runpod.KEY), prefix=prefix, url=url)
        opened.callback(provider.close)
        self.fixture = FleetFixture(api, farm, self.account, provider, "tiny")
        inherited = {name: v for name, v in os.environ.items() if not name.startswith("TRACKFARM_")}
        self.env = {
            **inherited,
            **SETTINGS,
            "TRACKFARM_URL": api.url,
            "TRACKFARM_API_KEY": API_KEY,
            "TRACKFARM_FLEET_RUNPOD_URL": url,
        }
        self.catalog = folder / "spa.jsonl"
        self.write_catalog(TRACKS)

    def write_catalog(self, tracks: int) -> None:
        header = {"catalog": "spa", "model_set": "tiny"}
        briefs = [{"prompt": f"piano {n}", "duration": 10} for n in range(tracks)]
        self.catalog.write_text("".join(f"{json.dumps(line)}\n" for line in [header, *briefs]))

    def run_command(self, *words: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-P", "-m", "trackfarm.cli", *words]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=self.env, stdout=pipe, stderr=pipe, text=True)

    def wait_for(
        self, command: "subprocess.Popen[str]", *, interrupt_at: int | None = None
    ) -> tuple[int, str, str]:
        until = time.monotonic() + LIFE_S
        try:
            while command.poll() is None and time.monotonic() < until:
                self._live()
                if interrupt_at is not None and self._done_tracks() >= interrupt_at:
                    command.send_signal(signal.SIGINT)
                    interrupt_at = None
        finally:
            command.kill()
            out, err = command.communicate()
        return command.returncode, out, err

    def _done_tracks(self) -> int:
        return self.fixture.scene.states(self.fixture.job).get("done", 0) if self.fixture.job else 0

    def run_for_json(self, *words: str) -> Any:
        code, out, err = self.wait_for(self.run_command(*words, "--json"))
        assert code == 0, err
        return json.loads(out)

    def _live(self) -> None:
        jobs = self.fixture.api.get("jobs").json()
        self.fixture.job = jobs[0]["id"] if jobs else ""
        self.fixture.live(0.05)
        self.fixture.scene.completer.tick()


@pytest.fixture
def operator(api: ApiFixture, tmp_path: Path) -> Iterator[Operator]:
    with ExitStack() as opened:
        yield Operator(api, tmp_path, opened)


def test_run_makes_a_catalog_and_returns_the_machines(operator: Operator) -> None:
    options = ["--deadline", "20m", "--budget", "2", "--machines", "2", "--yes", "--json"]
    run = operator.run_command("run", str(operator.catalog), *options)
    code, out, err = operator.wait_for(run)
    assert code == 0, err
    ending = json.loads(out.splitlines()[-1])
    assert (ending["job"]["state"], ending["tracks"], ending["left"]) == ("done", TRACKS, 0)
    assert operator.account.running() == []
    assert len(operator.account.machines) == 2
    assert ending["bill"] == pytest.approx(float(operator.account.bill()), abs=0.01)
    assert sum(ending["dollars"].values()) == pytest.approx(ending["bill"])
    assert operator.run_for_json("fleet", "status")["rentals"] == []
    assert operator.run_for_json("fleet", "cost")["jobs"][ending["job"]["id"]]["tracks"] == TRACKS
    again = operator.run_command("run", str(operator.catalog), "--yes", "--json")
    code, out, err = operator.wait_for(again)
    assert (code, json.loads(out.splitlines()[-1])["bill"]) == (0, 0), err
    assert len(operator.account.machines) == 2, "tracks that exist need no machine"


@pytest.mark.soak
def test_run_interrupted_returns_the_machines_and_keeps_the_job(operator: Operator) -> None:
    operator.write_catalog(400)
    run = operator.run_command("run", str(operator.catalog), "--yes")
    code, out, err = operator.wait_for(run, interrupt_at=1)
    assert code == 130, err + out
    assert operator.account.running() == []
    assert operator.fixture.scene.states(operator.fixture.job).get("done", 0) >= 1
    assert "returning the machines" in out


@pytest.mark.soak
def test_fleet_up_rents_machines_and_down_returns_them(operator: Operator) -> None:
    (rented,) = operator.run_for_json("fleet", "up", "--yes", "--model-set", "tiny")
    assert rented["status"]["state"] == "joined"
    (machine,) = operator.account.running()
    stray = operator.account.rent(
        tag=machine.tag[:-1] + "0", gpu="NVIDIA L4", gpus=1, price=1, env={}
    )
    (orphan,) = operator.run_for_json("fleet", "reap", "--dry-run")
    assert (orphan["id"], orphan["ended"]) == (stray.id, False)
    assert len(operator.account.running()) == 2
    code, _, err = operator.wait_for(
        operator.run_command("fleet", "down", machine.tag, "tf-nosuch")
    )
    assert (code, "no open rental tf-nosuch" in err) == (4, True), "a typo changes nothing"
    assert operator.run_for_json("fleet", "status")["rentals"][0]["release_reason"] == ""
    assert operator.run_for_json("fleet", "down", rented["id"]) == {"left": []}
    assert operator.account.running() == [], "the orphan was ended, too"


@pytest.mark.soak
@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["run", "CATALOG", "--provider", "aws"], 2, "--provider 'aws' is not one of"),
        (["run", "CATALOG", "--budget", "0.01", "--yes"], 1, "$0.01 is too small for any machine"),
        (["run", "CATALOG", "--budget", "0", "--yes"], 1, "needs --budget 0."),
        (["run", "CATALOG", "--gpu", "nosuch", "--yes"], 2, "on offer: NVIDIA"),
        (["run", "CATALOG", "--gpu", "4090", "--yes"], 2, "'NVIDIA GeForce RTX 4090'?"),
        (["run", "CATALOG", "--machines", "1"], 2, "terminal: add --yes"),
        (["run", "CATALOG", "--machines", "1", "--json"], 2, '{"plan": {"rent": [{"provider"'),
        (["fleet", "up"], 2, "terminal: add --yes"),
        (["fleet", "up", "--model-set", "suno"], 2, "unknown model set"),
        (["fleet", "up", "--max-price", "0.01", "--yes"], 1, "needs --max-price 0."),
        (["fleet", "offers", "--gpu", "nosuch"], 2, "on offer: NVIDIA"),
    ],
)
def test_commands_that_fail_rent_nothing(
    operator: Operator, words: list[str], code: int, text: str
) -> None:
    typed = [str(operator.catalog) if word == "CATALOG" else word for word in words]
    ended, out, err = operator.wait_for(operator.run_command(*typed))
    assert ended == code, err
    assert text in out + err
    assert operator.account.machines == {}
    assert operator.fixture.rentals() == []
