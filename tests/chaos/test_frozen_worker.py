"""A worker that comes back after a long silence changes nothing."""

import hashlib
import json
import os
import signal
import time
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
from sqlmodel import col

from tests.chaos.busy import are_placed_again, submit_job, wait_until_computing
from tests.end_to_end.farm import LocalFarm, running_farm
from tests.end_to_end.job_checks import (
    assert_counters_match,
    assert_made_exactly_once,
    wait_until_done,
)
from tests.servers.process import wait_until
from trackfarm.protocol.worker import (
    WORKER_PREFIX,
    Measurements,
    ReportAnswer,
    ReportRequest,
    ReportVerdict,
    Timings,
    TrackDone,
)
from trackfarm_scheduler.db.tables import AttemptRow, LeaseRow

LOST_AFTER_S = 3.0


@pytest.fixture
def frozen_farm(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalFarm]:
    with running_farm(
        request,
        tmp_path_factory,
        workers=("frozen", "other"),
        worker={"step_delay": 0.15},
        lost_after_seconds=LOST_AFTER_S,
        heartbeat_seconds=1,
        url_ttl_seconds=15,
    ) as running:
        yield running


@pytest.mark.soak
def test_late_results_are_refused(frozen_farm: LocalFarm) -> None:
    farm = frozen_farm
    job = submit_job(farm, 6)
    stale = {lease.id for lease in wait_until_computing(farm, "frozen")}
    os.kill(farm.workers["frozen"].pid, signal.SIGSTOP)
    unfinished = farm.database.open_track_ids(stale)
    assert unfinished
    wait_until(
        lambda: not farm.database.open_track_ids(stale),
        timeout_s=3 * LOST_AFTER_S,
        what="it is lost",
    )
    for attempt in farm.database.attempts_under(stale):
        if attempt.track_id in unfinished:
            assert report_late_result(farm, attempt) is ReportVerdict.REFUSED
    assert (
        not {a.lease_id for a in farm.database.artifacts(job) if a.track_id in unfinished} & stale
    )

    os.kill(farm.workers["frozen"].pid, signal.SIGCONT)
    wait_until(lambda: farm.takes_shards("frozen"), timeout_s=20, what="it is welcome again")
    wait_until_done(farm, job)
    assert are_placed_again(farm, unfinished, stale)
    assert_made_exactly_once(farm, job)
    assert farm.database.event_count("worker_lost") == 1


@pytest.mark.soak
@pytest.mark.parametrize("silence", [LOST_AFTER_S + 3, 60.0])
def test_worker_that_wakes_up_changes_nothing(frozen_farm: LocalFarm, silence: float) -> None:
    farm = frozen_farm
    job = submit_job(farm, 12)
    stale = {lease.id for lease in wait_until_computing(farm, "frozen")}
    os.kill(farm.workers["frozen"].pid, signal.SIGSTOP)
    unfinished = farm.database.open_track_ids(stale)
    assert unfinished
    wait_until(
        lambda: time.time() - farm.database.newest_worker("frozen").last_seen > silence,
        timeout_s=silence + 10,
        what="it has been silent for long enough",
    )
    os.kill(farm.workers["frozen"].pid, signal.SIGCONT)
    wait_until_done(farm, job)
    wait_until(lambda: farm.takes_shards("frozen"), timeout_s=20, what="it is welcome again")
    assert are_placed_again(farm, unfinished, stale)
    assert_made_exactly_once(farm, job)
    assert_counters_match(farm)


def report_late_result(farm: LocalFarm, attempt: AttemptRow) -> ReportVerdict:
    """Upload an object and report it as the frozen worker would, with its own token."""
    content = b"what the frozen worker made"
    upload = farm.store().presign_put(attempt.object_key, expires=timedelta(seconds=5))
    httpx.put(upload.url, content=content, headers=dict(upload.headers)).raise_for_status()
    done = TrackDone(
        track_id=attempt.track_id,
        object_key=attempt.object_key,
        size=len(content),
        md5=hashlib.md5(content, usedforsecurity=False).hexdigest(),
        sha256=hashlib.sha256(content).hexdigest(),
        seed=attempt.seed,
        measurements=Measurements(
            seconds=10, sample_rate=48_000, channels=2, peak_dbfs=-1, rms_dbfs=-20, clipped=0, dc=0
        ),
        timings=Timings(),
    )
    (lease,) = farm.database.rows(LeaseRow, col(LeaseRow.id) == attempt.lease_id)
    token = json.loads((farm.folder / "frozen" / "credentials.json").read_text())["token"]
    answer = httpx.post(
        f"{farm.url}{WORKER_PREFIX}/shards/{lease.shard_id}/report",
        content=ReportRequest(lease_id=lease.id, done=[done]).model_dump_json(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    (verdict,) = ReportAnswer.model_validate_json(answer.raise_for_status().content).tracks
    return verdict.verdict
