"""`deploy/provision` in an empty folder: from the archive to workers that are kept running."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.deploy import tools
from tests.end_to_end.catalogs import fresh_name, short_briefs
from tests.end_to_end.farm import LocalFarm, running_farm
from tests.end_to_end.job_checks import wait_until_done
from tests.servers.process import Process, run, wait_until
from trackfarm.protocol.operator import InvitationRequest, JobHeader, WorkerState

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]
PROVIDER_KEY = "a-key-of-the-provider"
INSTALLED_WITHIN_S = 600.0
WORKER = "trackfarm-worke"  # the kernel truncates process names to this length


@pytest.fixture(scope="module")
def farm(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalFarm]:
    with running_farm(request, tmp_path_factory) as running:
        yield running


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the unpacked bundle, as the printed start command unpacks it."""
    archive, output = tools.bundle(folder := tmp_path_factory.mktemp("bundle"))
    digest = run(["sha256sum", archive]).split()[0]
    assert f'echo "{digest}  bundle.tar.gz" | sha256sum --check' in output
    assert len(output) < 1_000, "Vast.ai takes 4,048 characters"
    run(["tar", "--extract", "--file", archive, "--directory", folder])
    return folder


def test_provision_turns_a_bare_machine_into_kept_workers(
    farm: LocalFarm, bundle: Path, tmp_path: Path
) -> None:
    token = farm.client.invite(InvitationRequest(uses=2)).token
    env = {
        "TRACKFARM_WORKER_SCHEDULER_URL": farm.url,
        "TRACKFARM_WORKER_JOIN_TOKEN": token,
        "TRACKFARM_WORKER_MODEL_SET": "tiny",
        "TRACKFARM_WORKER_DEVICE": "cpu",
        "TRACKFARM_WORKER_NAME": "rented",
        "TRACKFARM_FOLDER": str(tmp_path / "farm"),
        "TRACKFARM_WORKER_CARDS": "2",
        "CONTAINER_API_KEY": PROVIDER_KEY,
        "PYTHON": sys.executable,
        "CPU_TORCH": tools.cpu_torch(),
    }
    began = Process(["bash", bundle / "start"], log=tmp_path / "log", env=env)
    names = {"rented-0", "rented-1"}
    with began as machine:
        watch = SupervisedProcess(machine.pid, {token, PROVIDER_KEY})
        machine.wait_ready(
            lambda: watch.observe() and all(farm.takes_shards(name) for name in names),
            timeout_s=INSTALLED_WITHIN_S,
        )
        assert "pip" in watch.programs, "it was installed"
        assert watch.with_secrets == set(), "a process other than the worker had a secret"

        first = worker_of(machine.pid, "rented-0")
        for name in ("TRACKFARM_WORKER_JOIN_TOKEN", "CONTAINER_API_KEY"):
            assert set(first.environ()[name]) == {"*"}, "it received this, and has hidden it"
        assert Path(first.exe()).resolve() == Path(sys.executable).resolve()
        before = ready(farm, "rented-0")
        first.kill()
        wait_until(
            lambda: ready(farm, "rented-0") - before != set(),
            timeout_s=60,
            what="another worker has taken its place",
        )
        job = farm.client.submit(
            JobHeader(catalog=fresh_name("rented"), model_set="tiny"), short_briefs(4)
        ).job.id
        wait_until_done(farm, job)

        tree = psutil.Process(machine.pid).children(recursive=True)
        machine.stop(timeout_s=30)
        assert machine.exit_code == 0, "both have drained"
        gone, alive = psutil.wait_procs(tree, timeout=5)
        assert alive == []
        assert len(gone) > 4


def test_provision_ends_the_machine_of_a_worker_that_cannot_run(
    bundle: Path, tmp_path: Path
) -> None:
    env = {
        "TRACKFARM_WORKER_SCHEDULER_URL": "http://farm.example",
        "TRACKFARM_WORKER_JOIN_TOKEN": "a-token-that-is-not-sent",
        "TRACKFARM_WORKER_MODEL_SET": "tiny",
        "TRACKFARM_WORKER_DEVICE": "cpu",
        "TRACKFARM_FOLDER": str(tmp_path / "farm"),
        "TRACKFARM_VENV": str(Path(sys.executable).parents[1]),
    }
    result = subprocess.run(
        ["bash", bundle / "start"], env={**os.environ, **env}, capture_output=True, check=False
    )
    assert result.returncode == 2
    assert b"TRACKFARM_WORKER_SCHEDULER_URL=https://farm.example" in result.stderr


class SupervisedProcess:
    """Records the programs that ran below `root` except workers and their children, and the ones
    among them with a secret in their environment. `bash` has its start environment, also in
    children it has just forked."""

    def __init__(self, root: int, secrets: set[str]) -> None:
        self._root = psutil.Process(root)
        self._secrets = secrets
        self._known: set[tuple[int, str]] = set()
        self.programs: set[str] = set()
        self.with_secrets: set[str] = set()

    def observe(self) -> bool:
        for process in self._root.children(recursive=True):
            with suppress(psutil.Error):  # it has just ended
                self._record(process)
        return True

    def _record(self, process: psutil.Process) -> None:
        name = process.name()
        if name == "bash" or (process.pid, name) in self._known:
            return
        self._known.add((process.pid, name))
        if WORKER in {name, *(above.name() for above in process.parents())}:
            return
        self.programs.add(name)
        if self._secrets & set(process.environ().values()):
            self.with_secrets.add(name)


def ready(farm: LocalFarm, name: str) -> set[str]:
    """Return the ids of the workers of this name that accept shards."""
    working = (WorkerState.READY, WorkerState.BUSY)
    return {w.id for w in farm.client.workers() if w.name == name and w.state in working}


def worker_of(root: int, name: str) -> psutil.Process:
    """Return the worker of this name; its engine, which has the same environment, is a module of
    it."""
    (worker,) = (
        process
        for process in psutil.Process(root).children(recursive=True)
        if "trackfarm_worker" in process.cmdline()
        and process.environ().get("TRACKFARM_WORKER_NAME") == name
    )
    return worker
