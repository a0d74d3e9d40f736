"""Machines with a stock image install the worker from the scheduler, and run nothing else."""

import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi import FastAPI

from tests.fleet.fakes.account import FakeMachine
from tests.fleet.fleet_fixture import TICK_S, FleetFixture, open_fleet_fixture
from tests.scheduler.api_fixture import ApiFixture, Switch
from tests.scheduler.farm_fixture import briefs
from tests.servers.presence import require
from tests.servers.tls import HOST, Certificates, behind_tls, certificates
from trackfarm.net.tls import pack_ca
from trackfarm.settings import ClientSettingsError
from trackfarm_fleet.app import open_providers
from trackfarm_fleet.autoscaler.models import ScalingRules
from trackfarm_fleet.autoscaler.policy import RentalPolicy
from trackfarm_fleet.provisioner import start_command
from trackfarm_fleet.rentals.tags import Tags
from trackfarm_fleet.settings import FleetSettings

START = """
echo "$TRACKFARM_WORKER_RENTAL_TAG" >../ran
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("front") / "certificates")


@pytest.fixture
def front(api: ApiFixture, files: Certificates) -> Iterator[str]:
    """The scheduler behind a certificate of its own CA, for machines that download with curl."""
    require(shutil.which("curl"), "curl")
    with behind_tls(int(api.url.rpartition(":")[2]), files) as port:
        yield f"https://{HOST}:{port}"


@pytest.fixture
def bundle(api: ApiFixture, served: tuple[Switch, str], tmp_path: Path) -> Path:
    """An archive on the scheduler with a start script that records its execution."""
    start, archive = tmp_path / "start", tmp_path / "bundle.tar.gz"
    start.write_text(START)
    with tarfile.open(archive, "w:gz") as packing:
        packing.add(start, "start")
    app = served[0].app
    assert isinstance(app, FastAPI)
    settings = app.state.services.settings.model_copy(update={"bundle": archive})
    app.state.services = replace(app.state.services, settings=settings)
    return archive


@pytest.fixture(params=["runpod", "vast"])
def fixture(request: pytest.FixtureRequest, api: ApiFixture) -> Iterator[FleetFixture]:
    with open_fleet_fixture(request.param, api) as opened:
        yield opened


def a_machine(fixture: FleetFixture, front: str, files: Certificates) -> FakeMachine:
    fixture.fleet = fixture.new_reconciler(
        start="provision",
        image="pytorch/pytorch",
        scheduler_url=front,
        ca_file=files.authority,
    )
    fixture.job = fixture.scene.submit(briefs(8)).job_id
    fixture.step(RentalPolicy())
    return fixture.account.running()[0]


def run(machine: FakeMachine, folder: Path) -> tuple[int, str]:
    """Return the exit status and the output of the machine's command."""
    image = {"PATH": os.environ["PATH"], "TRACKFARM_FOLDER": str(folder)}
    result = subprocess.run(
        machine.command,
        env={**image, **machine.env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return result.returncode, result.stderr


@pytest.mark.usefixtures("bundle")
def test_start_command_runs_the_bundle_and_has_no_secret(
    fixture: FleetFixture, front: str, files: Certificates, tmp_path: Path
) -> None:
    machine = a_machine(fixture, front, files)
    assert machine.env["TRACKFARM_WORKER_JOIN_TOKEN"] not in " ".join(machine.command)
    assert run(machine, tmp_path / "machine") == (0, "")
    assert (tmp_path / "machine" / "ran").read_text().strip() == machine.tag
    (invitation,) = fixture.api.get("workers/invitations").json()
    assert invitation["uses_left"] == 1, "the worker has not joined yet"


def test_start_command_rejects_another_bundle(
    fixture: FleetFixture, front: str, files: Certificates, bundle: Path, tmp_path: Path
) -> None:
    machine = a_machine(fixture, front, files)
    with tarfile.open(bundle, "w:gz") as packing:
        packing.add(tmp_path / "start", "other/start")
    code, output = run(machine, tmp_path / "machine")
    assert code != 0
    assert "did NOT match" in output
    assert not (tmp_path / "machine" / "ran").exists()


@pytest.mark.usefixtures("bundle")
def test_start_command_sends_the_token_to_no_other_server(
    fixture: FleetFixture, front: str, files: Certificates, tmp_path: Path
) -> None:
    machine = a_machine(fixture, front, files)
    stranger = certificates(tmp_path / "stranger").authority
    machine.env |= pack_ca(stranger, setting="")
    code, output = run(machine, tmp_path / "machine")
    assert code != 0
    assert "certificate" in output


def test_rent_without_a_bundle_rents_nothing(fixture: FleetFixture) -> None:
    fixture.fleet = fixture.new_reconciler(start="provision")
    fixture.step(RentalPolicy())
    fixture.scene.submit(briefs(8))
    for act in (fixture.fleet.check_start_command, lambda: fixture.step(RentalPolicy())):
        with pytest.raises(ClientSettingsError, match="TRACKFARM_SCHEDULER_BUNDLE"):
            act()
    assert fixture.rentals() == []


@pytest.mark.usefixtures("bundle")
def test_check_start_command_rejects_an_unencrypted_address(fixture: FleetFixture) -> None:
    fleet = fixture.new_reconciler(start="provision", scheduler_url="http://farm.example")
    with pytest.raises(ClientSettingsError, match="TRACKFARM_FLEET_SCHEDULER_URL"):
        fleet.check_start_command()


def test_reconcile_releases_machines_even_if_none_can_be_rented(
    fixture: FleetFixture, bundle: Path
) -> None:
    policy = RentalPolicy(rules=ScalingRules(min_hold_seconds=60.0))
    fixture.fleet = fixture.new_reconciler(start="provision")
    fixture.job = fixture.scene.submit(briefs(8)).job_id
    for _ in range(100):
        if fixture.is_done():
            break
        fixture.step(policy)
    assert fixture.is_done()
    assert fixture.account.running()
    bundle.unlink()
    soon = datetime.fromtimestamp(fixture.scene.clock() + 7200, UTC)
    fixture.scene.submit(briefs(8), kind="acestep-v15-turbo", deadline=soon)
    for _ in range(8):
        fixture.live(TICK_S)
        with pytest.raises(ClientSettingsError, match="no bundle"):
            fixture.fleet.reconcile(policy)
        if not fixture.account.running():
            break
    assert not fixture.account.running()


def test_open_providers_rejects_provisioning_of_local_workers() -> None:
    options = {"start": "provision", "providers": ["local"], "local_workers": 1}
    settings = FleetSettings.model_validate(options)
    with pytest.raises(ClientSettingsError, match="on this machine"):
        open_providers(settings, Tags("hotel"), ExitStack())


def test_start_command_is_short_enough_for_vast() -> None:
    command = start_command("https://" + 250 * "a", "0" * 64)
    assert len(" ".join(command)) < 2_000
    assert "'" not in command[-1], "providers split quoted words in different ways"
