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

from tests.fleet.fakes.account import Machine
from tests.fleet.fleet_fixture import TICK_S, FleetFixture, world_at
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
def world(request: pytest.FixtureRequest, api: ApiFixture) -> Iterator[FleetFixture]:
    with world_at(request.param, api) as made:
        yield made


def rented(world: FleetFixture, front: str, files: Certificates) -> Machine:
    world.fleet = world.another_fleet(
        start="provision",
        image="pytorch/pytorch",
        scheduler_url=front,
        ca_file=files.authority,
    )
    world.job = world.scene.submit(briefs(8)).job_id
    world.step(RentalPolicy())
    return world.account.running()[0]


def ran(machine: Machine, folder: Path) -> tuple[int, str]:
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
def test_it_runs_the_farms_bundle_and_its_command_has_no_secret(
    world: FleetFixture, front: str, files: Certificates, tmp_path: Path
) -> None:
    machine = rented(world, front, files)
    assert machine.env["TRACKFARM_WORKER_JOIN_TOKEN"] not in " ".join(machine.command)
    assert ran(machine, tmp_path / "machine") == (0, "")
    assert (tmp_path / "machine" / "ran").read_text().strip() == machine.tag
    (invitation,) = world.api.get("workers/invitations").json()
    assert invitation["uses_left"] == 1, "the worker has not joined yet"


def test_it_runs_no_other(
    world: FleetFixture, front: str, files: Certificates, bundle: Path, tmp_path: Path
) -> None:
    machine = rented(world, front, files)
    with tarfile.open(bundle, "w:gz") as packing:
        packing.add(tmp_path / "start", "other/start")
    code, output = ran(machine, tmp_path / "machine")
    assert code != 0
    assert "did NOT match" in output
    assert not (tmp_path / "machine" / "ran").exists()


@pytest.mark.usefixtures("bundle")
def test_it_gives_its_token_to_no_other_server(
    world: FleetFixture, front: str, files: Certificates, tmp_path: Path
) -> None:
    machine = rented(world, front, files)
    stranger = certificates(tmp_path / "stranger").authority
    machine.env |= pack_ca(stranger, setting="")
    code, output = ran(machine, tmp_path / "machine")
    assert code != 0
    assert "certificate" in output


def test_without_a_bundle_nothing_is_rented(world: FleetFixture) -> None:
    world.fleet = world.another_fleet(start="provision")
    world.step(RentalPolicy())
    world.scene.submit(briefs(8))
    for act in (world.fleet.check, lambda: world.step(RentalPolicy())):
        with pytest.raises(ClientSettingsError, match="TRACKFARM_SCHEDULER_BUNDLE"):
            act()
    assert world.rentals() == []


@pytest.mark.usefixtures("bundle")
def test_no_machine_sends_its_token_in_clear_text(world: FleetFixture) -> None:
    fleet = world.another_fleet(start="provision", scheduler_url="http://farm.example")
    with pytest.raises(ClientSettingsError, match="TRACKFARM_FLEET_SCHEDULER_URL"):
        fleet.check()


def test_machines_go_back_while_others_cannot_be_rented(world: FleetFixture, bundle: Path) -> None:
    mandate = RentalPolicy(rules=ScalingRules(hold=60.0))
    world.fleet = world.another_fleet(start="provision")
    world.job = world.scene.submit(briefs(8)).job_id
    for _ in range(100):
        if world.is_done():
            break
        world.step(mandate)
    assert world.is_done()
    assert world.account.running()
    bundle.unlink()
    soon = datetime.fromtimestamp(world.scene.clock() + 7200, UTC)
    world.scene.submit(briefs(8), kind="acestep-v15-turbo", deadline=soon)
    for _ in range(8):
        world.live(TICK_S)
        with pytest.raises(ClientSettingsError, match="no bundle"):
            world.fleet.round(mandate)
        if not world.account.running():
            break
    assert not world.account.running()


def test_what_runs_here_is_not_fetched() -> None:
    options = {"start": "provision", "providers": ["local"], "local_workers": 1}
    settings = FleetSettings.model_validate(options)
    with pytest.raises(ClientSettingsError, match="on this machine"):
        open_providers(settings, Tags("hotel"), ExitStack())


def test_the_command_is_short_enough_for_vast() -> None:
    command = start_command("https://" + 250 * "a", "0" * 64)
    assert len(" ".join(command)) < 2_000
    assert "'" not in command[-1], "providers split quoted words in different ways"
