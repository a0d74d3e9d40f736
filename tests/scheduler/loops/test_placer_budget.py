"""Budgets: spent and committed money of a job, and how the job ends when its budget is spent."""

import pytest

from tests.scheduler.farm_fixture import FarmFixture, briefs, failure
from trackfarm.protocol.operator import TrackState
from trackfarm.protocol.worker import ReportVerdict
from trackfarm_scheduler.db import events, jobs, placement_view
from trackfarm_scheduler.db.offers import ShardOffer
from trackfarm_scheduler.db.tables import WorkerRow
from trackfarm_scheduler.policy.placement import SHARDS_AHEAD, place

PRICE = 3.6  # dollars per hour: a tenth of a cent per second


@pytest.fixture
def worker(farm: FarmFixture) -> WorkerRow:
    return farm.join(price_per_hour=PRICE, provider="vast")


def spent(farm: FarmFixture, job_id: str) -> float:
    return farm.job(job_id).spent


def affordable(farm: FarmFixture, job_id: str) -> float | None:
    with farm.database.read() as session:
        pool = placement_view.load_worker_pool(session)
        (view,) = placement_view.load_jobs(
            session, jobs.find(session, job_id), pool, farm.clock(), 99
        )
        return view.affordable


def place_all(farm: FarmFixture, job_id: str) -> list[ShardOffer]:
    """Offer everything that the placer would offer of a job in one tick."""
    with farm.database.read() as session:
        pool = placement_view.load_worker_pool(session)
        views = placement_view.load_jobs(
            session, jobs.find(session, job_id), pool, farm.clock(), 99
        )
        shards = place(views, pool.workers, shard_seconds=60)
    return [farm.offer(farm.worker(s.worker_id), job_id, s.track_ids) for s in shards]


def test_budget_is_charged_with_engine_seconds(farm: FarmFixture, worker: WorkerRow) -> None:
    job_id = farm.submit(briefs(2)).job_id
    offer = farm.lease(worker, job_id)
    first, second = farm.track_ids(job_id)
    farm.report(worker, offer, done=[farm.upload(offer, first, service=10.0)])
    assert spent(farm, job_id) == pytest.approx(0.01)
    farm.report(worker, offer, failed=[failure(second, service=4.0)])
    assert spent(farm, job_id) == pytest.approx(0.014), "a failure costs its engine time"
    with farm.database.read() as session:
        totals = {(n, labels.get("bought")): v for n, labels, v in events.list_counters(session)}
    assert totals["cost_dollars", "tracks"] == pytest.approx(0.01)
    assert totals["cost_dollars", "failures"] == pytest.approx(0.004)


def test_budget_is_charged_once_for_a_repeated_report(farm: FarmFixture, worker: WorkerRow) -> None:
    """A worker repeats unacknowledged reports."""
    job_id = farm.submit(briefs(2)).job_id
    offer = farm.lease(worker, job_id)
    first, second = farm.track_ids(job_id)
    done, failed = farm.upload(offer, first, service=10.0), failure(second, service=4.0)
    farm.report(worker, offer, done=[done, done], failed=[failed, failed])
    for _ in range(2):
        verdicts = farm.report(worker, offer, done=[done], failed=[failed])
        assert {v.verdict for v in verdicts} == {ReportVerdict.ALREADY_DONE, ReportVerdict.REFUSED}
    assert spent(farm, job_id) == pytest.approx(0.014)


def test_budget_is_not_charged_for_refused_results(farm: FarmFixture, worker: WorkerRow) -> None:
    job_id = farm.submit(briefs(1)).job_id
    offer = farm.lease(worker, job_id)
    (track_id,) = farm.track_ids(job_id)
    thief = farm.join("thief", price_per_hour=1000.0)
    farm.report(thief, offer, failed=[failure(track_id, service=3600.0)])
    assert spent(farm, job_id) == 0


def test_budget_includes_running_work(farm: FarmFixture, worker: WorkerRow) -> None:
    """Each track takes two seconds, at a tenth of a cent per second."""
    job_id = farm.submit(briefs(9), budget=1.0).job_id
    assert affordable(farm, job_id) == pytest.approx(1.0)
    offer = farm.lease(worker, job_id, farm.track_ids(job_id)[:3])
    assert affordable(farm, job_id) == pytest.approx(1 - 0.006)
    farm.finish(worker, offer)
    assert affordable(farm, job_id) == pytest.approx(1 - 0.006), "now it is spent"


def test_budget_is_optional(farm: FarmFixture, worker: WorkerRow) -> None:
    job_id = farm.submit(briefs(3)).job_id
    farm.lease(worker, job_id, farm.track_ids(job_id)[:1])
    assert affordable(farm, job_id) is None


def test_budget_ends_a_job_only_when_nothing_runs(farm: FarmFixture, worker: WorkerRow) -> None:
    job_id = farm.submit(briefs(3), budget=0.005).job_id
    first, second, _ = farm.track_ids(job_id)
    running = farm.lease(worker, job_id, [first, second])
    farm.report(worker, running, done=[farm.upload(running, first, service=50.0)])
    assert spent(farm, job_id) > 0.005
    assert place_all(farm, job_id) == []
    assert farm.complete(job_id) == "running", "running shards are finished"
    farm.finish(worker, running)
    assert farm.complete(job_id) == "out_of_budget"
    ended = farm.job(job_id)
    assert (ended.reason, ended.finished_at) == (
        "the budget is spent; 1 tracks are not made",
        farm.clock(),
    )
    assert farm.states(job_id) == {"done": 2, "pending": 1}


def test_budget_ends_no_job_without_a_worker(farm: FarmFixture) -> None:
    job_id = farm.submit(briefs(1), budget=1e-9).job_id
    assert farm.complete(job_id) == "accepted"


def test_budget_does_not_stop_a_free_worker(farm: FarmFixture, worker: WorkerRow) -> None:
    own = farm.join("own")
    job_id = farm.submit(briefs(9), budget=1e-9).job_id
    offers = place_all(farm, job_id)
    assert {o.queue for o in offers} == {own.queue}
    farm.claim(own, offers[0])
    assert farm.complete(job_id) == "running"


def test_budget_ends_a_job_although_an_unsuitable_worker_is_cheap(farm: FarmFixture) -> None:
    """Nor is a track that only needs an unaffordable GPU: either would keep the job open for
    ever."""
    farm.join("cheap", memory_mib=6_144, price_per_hour=0.0, model_set="acestep-v15-turbo")
    farm.join("dear", memory_mib=24_564, price_per_hour=1000.0, model_set="acestep-v15-turbo")
    submission = farm.begin_submission(kind="acestep-v15-turbo", budget=1e-6)
    farm.add_briefs(submission, briefs(2, duration=600))
    job_id = farm.seal_submission(submission).job_id
    assert place_all(farm, job_id) == []
    assert farm.complete(job_id) == "out_of_budget"


def test_budget_that_pays_for_nothing_ends_a_job_at_once(
    farm: FarmFixture, worker: WorkerRow
) -> None:
    job_id = farm.submit(briefs(2), budget=1e-9).job_id
    assert farm.complete(job_id) == "out_of_budget"
    assert farm.job(job_id).reason == "the budget is spent; 2 tracks are not made"


def test_budget_increase_resumes_a_job(farm: FarmFixture, worker: WorkerRow) -> None:
    job_id = farm.submit(briefs(4), budget=0.003).job_id
    farm.finish(worker, farm.lease(worker, job_id, farm.track_ids(job_id)[:1]))
    assert farm.complete(job_id) == "out_of_budget"
    farm.change(job_id, jobs.resume)
    again = farm.job(job_id)
    assert (again.state, again.finished_at, again.reason) == ("running", None, "")
    assert farm.complete(job_id) == "out_of_budget", "the budget is unchanged"
    farm.change(job_id, lambda session, job, now: jobs.resume(session, job, now, budget=1.0))
    assert farm.complete(job_id) == "running"
    while offers := place_all(farm, job_id):
        assert len(offers) <= SHARDS_AHEAD
        for offer in offers:
            farm.claim(worker, offer)
            farm.finish(worker, offer)
    assert farm.complete(job_id) == "done"
    assert spent(farm, job_id) <= 1.0


def test_budget_end_transfers_shared_tracks(farm: FarmFixture, worker: WorkerRow) -> None:
    broke = farm.submit(briefs(3), budget=0.002).job_id
    other = farm.submit(briefs(4)).job_id
    farm.finish(worker, farm.lease(worker, broke, farm.track_ids(broke)[:1]))
    assert farm.complete(broke) == "out_of_budget"
    assert len(farm.owned_tracks(other, TrackState.PENDING)) == 3
