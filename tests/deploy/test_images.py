"""Both images are built, and a worker of one joins a scheduler of the other and makes a track."""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from tests.deploy.images import Builder
from tests.deploy.tools import cpu_torch
from tests.end_to_end.catalogs import fresh_name, short_briefs
from tests.servers.presence import require
from tests.servers.process import free_port, scratch_folder, wait_until
from tests.servers.redis import RedisServer
from trackfarm.client import Client
from trackfarm.protocol.operator import InvitationRequest, JobHeader

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]
API_KEY = "an-api-key-of-the-tests"
UID = 10_001


@pytest.fixture(scope="module")
def builder() -> Iterator[Builder]:
    require(None if os.geteuid() else True, "root, which buildah needs here,")
    with scratch_folder("images") as folder, closing(Builder(folder)) as builder:
        builder.import_base()
        yield builder


def test_images_make_a_track(builder: Builder, redis: RedisServer, tmp_path: Path) -> None:
    scheduler = builder.build("scheduler")
    worker = builder.build("worker", DEVICE="cpu", CPU_TORCH=cpu_torch())
    for image in (scheduler, worker):
        assert builder.configured(image, "User") == f"{UID}:{UID}"
        assert "tini" in builder.configured(image, "Entrypoint")
        assert builder.configured(image, "Healthcheck.Test")
    assert "/models" in builder.configured(worker, "Volumes")

    port = free_port()
    worker_env = {
        "PORT": str(port),
        "BROKER_URL": redis.url,
        "DATABASE_URL": "sqlite:////data/farm.db",
        "OBJECTS_URL": "file:///data/objects",
        "API_KEY": API_KEY,
        "SIGNING_SECRET": "a-signing-secret-of-the-tests",
    }
    env = {f"TRACKFARM_SCHEDULER_{name}": value for name, value in worker_env.items()}
    url = f"http://127.0.0.1:{port}"
    begun = builder.started(
        scheduler, ["tini", "--", "trackfarm-scheduler"], tmp_path / "scheduler.log", env
    )
    with Client(url, API_KEY, retry_seconds=10) as farm, begun as (serving, container):
        serving.wait_ready(farm.is_healthy, timeout_s=60)
        builder.ask(container, "answers", f"{url}/healthz")
        env = {
            "TRACKFARM_WORKER_SCHEDULER_URL": url,
            "TRACKFARM_WORKER_MODEL_SET": "tiny",
            "TRACKFARM_WORKER_JOIN_TOKEN": farm.invite(InvitationRequest()).token,
        }
        joining = builder.started(
            worker, ["tini", "--", "trackfarm-worker"], tmp_path / "worker.log", env
        )
        with joining as (working, container):
            working.wait_ready(lambda: bool(farm.workers()), timeout_s=120)
            job = farm.submit(
                JobHeader(catalog=fresh_name("image"), model_set="tiny"), short_briefs(1)
            ).job.id
            wait_until(lambda: farm.job(job).state.ended, timeout_s=90, what="the track is made")
            assert farm.job(job).tracks.done == 1
            assert users_below(serving.pid) == users_below(working.pid) == {UID}
            builder.ask(container, "works")


def users_below(root: int) -> set[int]:
    """Return the users that run Python below a process."""
    tree = psutil.Process(root).children(recursive=True)
    return {each.uids().real for each in tree if "python" in each.exe()}
