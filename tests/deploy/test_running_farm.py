"""The farm of deploy/compose.yaml makes tracks with a worker that can reach only its front door."""

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import soundfile
from minio import Minio
from redis import Redis
from urllib3 import PoolManager

from tests.deploy.running_farm import (
    DOOR,
    ComposedFarm,
    composed_farm,
    create_database,
    flower,
    prometheus,
    worker,
)
from tests.end_to_end.catalogs import briefs, fresh_name, write_catalog
from tests.servers.postgres import debian_binaries
from tests.servers.presence import require
from tests.servers.process import Process, run, wait_until
from tests.servers.s3 import S3Access
from trackfarm.broker import SHARD_TASK
from trackfarm.protocol.accounts import KeyRequest, Scope
from trackfarm.protocol.operator import InvitationRequest, JobHeader, WorkerState

pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]
LARGE = 25 * 1024 * 1024


@pytest.fixture(scope="module")
def farm(swift: S3Access) -> Iterator[ComposedFarm]:
    with composed_farm(swift) as running:
        yield running


@pytest.fixture(scope="module")
def running_worker(farm: ComposedFarm) -> Iterator[Process]:
    token = said(farm, "workers", "invite", "--json").partition('"token": "')[2].partition('"')[0]
    with worker(farm, token, "one") as running:
        running.wait_ready(lambda: bool(ready(farm)), timeout_s=60)
        yield running


def ready(farm: ComposedFarm) -> list[str]:
    working = (WorkerState.READY, WorkerState.BUSY)
    return [each.name for each in farm.client.workers() if each.state in working]


def said(farm: ComposedFarm, *arguments: str) -> str:
    """Return the output of the operator's command line."""
    command = [sys.executable, "-m", "trackfarm.cli", *arguments]
    result = subprocess.run(
        command, env=farm.environment(), capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def made(farm: ComposedFarm, count: int) -> str:
    job = farm.client.submit(
        JobHeader(catalog=fresh_name("door"), model_set="tiny"), briefs(count)
    ).job.id
    wait_until(lambda: farm.client.job(job).state.ended, timeout_s=90, what="the job ends")
    assert farm.client.job(job).tracks.done == count
    return job


def test_catalog_becomes_files_through_the_front_door_alone(
    farm: ComposedFarm, running_worker: Process, tmp_path: Path
) -> None:
    catalog = write_catalog(tmp_path / f"{fresh_name('door')}.yaml", wanted := briefs(3))
    said(farm, "submit", str(catalog), "--model-set", "tiny")
    connected_ports: set[int] = set()
    with subprocess.Popen(
        [sys.executable, "-m", "trackfarm.cli", "export", "--watch", str(tmp_path / "out")],
        env=farm.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as export:
        while export.poll() is None:
            connected_ports |= reached(running_worker.pid)
    assert export.returncode == 0
    files = sorted(
        p for p in (tmp_path / "out").rglob("*") if p.suffix in (".wav", ".flac", ".mp3")
    )
    lengths = sorted(soundfile.info(path).duration for path in files)
    assert lengths == pytest.approx(sorted(b.duration for b in wanted if b.duration), abs=0.06)
    assert connected_ports == {farm.ports[name] for name in DOOR}


def reached(pid: int) -> set[int]:
    """Return the ports that a worker and its children are connected to."""
    tree = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    ports: set[int] = set()
    for process in tree:
        try:
            ports |= {c.raddr.port for c in process.net_connections("tcp") if c.raddr}
        except psutil.Error:
            continue  # it has just ended
    return ports


def test_front_door_passes_only_signed_requests_to_the_store(farm: ComposedFarm) -> None:
    trusting = PoolManager(cert_reqs="CERT_REQUIRED", ca_certs=str(farm.tls / "ca.crt"))
    outside = f"localhost:{farm.ports['store']}"
    keys = farm.store.access_key, farm.store.secret_key
    client = Minio(outside, *keys, region=farm.store.region, http_client=trusting)
    music = os.urandom(LARGE)
    verify = farm.trust

    signed = client.presigned_put_object("tracks", "large", expires=timedelta(minutes=5))
    assert httpx.put(signed, content=pieces(music), verify=verify, headers=sized(music)).is_success
    fetched = client.presigned_get_object("tracks", "large")
    assert httpx.get(fetched, verify=verify).content == music

    bare = fetched.partition("?")[0]
    assert httpx.get(bare, verify=verify).status_code == 403
    assert httpx.delete(fetched, verify=verify).status_code == 403
    assert httpx.post(signed, content=b"", verify=verify).status_code == 403
    assert httpx.get(fetched.replace("large", "small"), verify=verify).status_code == 403


def pieces(data: bytes) -> Iterator[bytes]:
    whole = io.BytesIO(data)
    while piece := whole.read(65_536):
        yield piece


def sized(data: bytes) -> dict[str, str]:
    return {"Content-Length": str(len(data))}


def test_front_door_replaces_a_forged_client_address(farm: ComposedFarm) -> None:
    key = farm.settings["FARM_API_KEY"]
    headers = {"Authorization": f"Bearer {key}", "X-Forwarded-For": "192.0.2.1"}
    body = KeyRequest(name="forger", scopes=[Scope.READ]).model_dump(mode="json")
    place = f"{farm.url}/api/v1/keys"
    response = httpx.post(place, json=body, headers=headers, verify=farm.trust)
    assert response.is_success, response.text
    newest = farm.client.audit()[-1]
    assert (newest.target, newest.address) == (response.json()["key"]["id"], "127.0.0.1")


def test_prometheus_and_flower_have_their_own_rights(
    farm: ComposedFarm, running_worker: Process
) -> None:
    made_key = farm.client.make_key(KeyRequest(name="prometheus", scopes=[Scope.READ]))
    Path(farm.settings["FARM_FOLDER"], "metrics-key").write_text(made_key.secret)
    with prometheus(farm) as scraping, flower(farm) as watching:
        series = f"http://127.0.0.1:{farm.ports['prometheus']}/api/v1/query"
        events = f"http://127.0.0.1:{farm.ports['flower']}/metrics"
        watching.wait_ready(lambda: b"executing_tasks{" in (reads(events) or b""))
        made(farm, 2)
        scraping.wait_ready(lambda: b'"1"]' in (reads(series, query="up") or b""))
        heard = f'task="{SHARD_TASK}"'.encode()
        wait_until(lambda: heard in (reads(events) or b""), timeout_s=20, what="Flower has heard")
        watching.kill()
    assert refused(farm) == []


def reads(url: str, **params: str) -> bytes | None:
    try:
        return httpx.get(url, params=params, timeout=2).content
    except httpx.TransportError:
        return None


def refused(farm: ComposedFarm) -> list[Any]:
    """Return the commands that the broker has denied to the users written by `deploy/setup`."""
    password = farm.settings["BROKER_PASSWORD"]
    place = f"localhost:{farm.ports['redis']}/0?ssl_ca_certs={farm.tls / 'ca.crt'}"
    with Redis.from_url(f"rediss://scheduler:{password}@{place}") as scheduler:
        scheduler.execute_command("ACL SETUSER", "looker", "on", ">looks", "+acl|log")
    with Redis.from_url(f"rediss://looker:looks@{place}", decode_responses=True) as looker:
        entries = looker.execute_command("ACL LOG")
    ours = {"scheduler", "flower"}
    return [entry for entry in entries if entry["username"] in ours]


def test_worker_joins_only_by_invitation(farm: ComposedFarm) -> None:
    invited = farm.client.invite(InvitationRequest())
    with worker(farm, f"{invited.token}x", "stranger") as stranger:
        wait_until(lambda: not stranger.is_running, timeout_s=60, what="it is not let in")
    assert "stranger" not in ready(farm)


def test_backup_of_database_and_objects_restores_the_farm(
    farm: ComposedFarm, running_worker: Process, tmp_path: Path
) -> None:
    job = made(farm, 2)
    binaries = require(debian_binaries(), "PostgreSQL with TLS")
    dump = tmp_path / "farm.dump"
    run([binaries / "pg_dump", "--format=custom", f"--file={dump}", farm.database("farm")])
    farm.stop_scheduler()
    create_database(farm)
    target = farm.database("farm")
    run([binaries / "pg_restore", "--exit-on-error", f"--dbname={target}", dump])
    farm.start_scheduler()
    said(farm, "export", job, str(tmp_path / "out"))
    assert len(list((tmp_path / "out").rglob("*.wav"))) == 1
    wait_until(lambda: ready(farm) == ["one"], timeout_s=30, what="its worker is known")
    made(farm, 1)
