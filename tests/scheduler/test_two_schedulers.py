"""Concurrent changes of jobs through two schedulers: no job waits for a track that no job makes."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from sqlalchemy import text

from tests.scheduler.farm_fixture import FarmFixture, briefs, failure
from tests.servers.process import wait_until
from trackfarm.protocol.operator import TrackState
from trackfarm.protocol.worker import FailureKind
from trackfarm_scheduler.db import jobs
from trackfarm_scheduler.db.database import Database

pytestmark = pytest.mark.parametrize("database", ["postgresql"], indirect=True)
_WAITING = text("SELECT count(*) FROM pg_locks WHERE NOT granted")


def begun(
    database: Database, pool: ThreadPoolExecutor, act: Callable[[], object]
) -> Future[object]:
    """Start an action; returns when it is done or waits for a row lock."""
    future = pool.submit(act)

    def stands() -> bool:
        with database.read() as session:
            return future.done() or bool(session.scalar(_WAITING))

    wait_until(stands, timeout_s=10, what="it is done or waits")
    return future


def test_job_does_not_end_while_its_tracks_are_reopened(farm: FarmFixture) -> None:
    worker, job_id = farm.join(), farm.submit(briefs(2)).job_id
    offer = farm.lease(worker, job_id)
    good, bad = farm.track_ids(job_id)
    farm.report(worker, offer, done=[farm.upload(offer, good)])
    farm.report(worker, offer, failed=[failure(bad, FailureKind.BAD_INPUT)])
    with ThreadPoolExecutor(1) as pool:
        with farm.database.write() as session:
            jobs.retry(session, jobs.find(session, job_id)[0], farm.clock())
            settling = begun(farm.database, pool, farm.completer.tick)
        settling.result(timeout=10)
    assert (farm.job(job_id).state, farm.states(job_id)) == ("running", {"done": 1, "pending": 1})


def test_job_submitted_while_the_owner_is_paused_makes_its_tracks(
    farm: FarmFixture,
) -> None:
    first = farm.submit(briefs(3)).job_id
    coming = farm.begin_submission()
    with ThreadPoolExecutor(1) as pool:
        with farm.database.write() as session:
            jobs.pause(session, jobs.find(session, first)[0], farm.clock())
            farm.add_briefs(coming, briefs(4))
            sealing = begun(farm.database, pool, lambda: farm.seal_submission(coming))
        sealing.result(timeout=10)
    assert len(farm.owned_tracks(coming.job_id, TrackState.PENDING)) == 4


def test_jobs_retried_at_once_still_share_a_track(farm: FarmFixture) -> None:
    worker = farm.join()
    first, second = (farm.submit(briefs(n)).job_id for n in (2, 3))
    for job_id in (first, second):
        offer = farm.lease(worker, job_id)
        ids = [a.track_id for a in farm.attempts(offer)]
        farm.report(worker, offer, failed=[failure(i, FailureKind.BAD_INPUT) for i in ids])
    with ThreadPoolExecutor(1) as pool:
        with farm.database.write() as session:
            jobs.retry(session, jobs.find(session, first)[0], farm.clock())
            retrying = begun(farm.database, pool, lambda: farm.change(second, jobs.retry))
        assert retrying.result(timeout=10) == 1, "the others are pending already"
    assert [len(farm.owned_tracks(i, TrackState.PENDING)) for i in (first, second)] == [2, 1]
