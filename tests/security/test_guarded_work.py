"""A farm over TLS: an invited third-party machine works, restarts, and works again."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.end_to_end.catalogs import fresh_name, short_briefs
from tests.security.guarded_farm import GuardedFarm
from tests.servers.process import Process, wait_until
from trackfarm.net.tls import pack_ca
from trackfarm.protocol.operator import JobHeader, JobState
from trackfarm.sdk.download import fetch


def worker_process(
    farm: GuardedFarm, token: str, folder: Path, authority: Mapping[str, str]
) -> Process:
    settings = {
        "NAME": "rented",
        "MODEL_SET": "tiny",
        "SCHEDULER_URL": farm.url,
        "JOIN_TOKEN": token,
        "DATA_DIR": folder / "data",
        "MEMORY_MIB": 8_192,
    }
    env = {f"TRACKFARM_WORKER_{name}": str(value) for name, value in settings.items()}
    command = [sys.executable, "-P", "-m", "trackfarm_worker"]
    log = folder / "worker.log"
    return Process(command, log=log, env={**os.environ, **env, **authority})


def makes(farm: GuardedFarm, folder: Path) -> None:
    """Check that the farm makes a catalog, and download its tracks."""
    briefs = short_briefs(2)
    job = farm.client.submit(JobHeader(catalog=fresh_name("guarded"), model_set="tiny"), briefs).job
    wait_until(
        lambda: farm.client.job(job.id).state is JobState.DONE, timeout_s=150, what="it is done"
    )
    for track in farm.client.tracks(job.id):
        assert track.artifact is not None
        path = folder / f"{job.id}-{track.id}"
        assert farm.client.driver.run(fetch(job.id, track, path))
        assert path.stat().st_size == track.artifact.size


@pytest.mark.soak
@pytest.mark.timeout(400)
def test_invited_machine_works_and_returns_with_a_spent_token(
    guarded: GuardedFarm, tmp_path: Path
) -> None:
    token = guarded.invite(provider="vast", rental_tag="tag-1", price_per_hour=2.5)
    named = {"TRACKFARM_WORKER_CA_FILE": str(guarded.files.authority)}
    carried = pack_ca(guarded.files.authority, setting="")  # as the fleet tells it
    for authority in (named, carried):
        with worker_process(guarded, token, tmp_path, authority) as worker:
            makes(guarded, tmp_path)
            (mine,) = [w for w in guarded.client.workers() if w.name == "rented"]
            assert (mine.provider, mine.price_per_hour) == ("vast", 2.5)
            worker.stop(timeout_s=15)
    assert [w.name for w in guarded.client.workers() if w.name == "rented"] == []
