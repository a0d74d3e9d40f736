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
def worker(scene: FarmFixture) -> WorkerRow:
    return scene.join(price_per_hour=PRICE, provider="vast")


def spent(scene: FarmFixture, job_id: str) -> float:
    return scene.job(job_id).spent


def affordable(scene: FarmFixture, job_id: str) -> float | None:
    with scene.database.read() as session:
        crew = placement_view.worker_pool(session)
        (view,) = placement_view.jobs(session, jobs.find(session, job_id), crew, scene.clock(), 99)
        return view.affordable


def place_all(scene: FarmFixture, job_id: str) -> list[ShardOffer]:
    """Offer everything that the placer would offer of a job in one tick."""
    with scene.database.read() as session:
        crew = placement_view.worker_pool(session)
        views = placement_view.jobs(session, jobs.find(session, job_id), crew, scene.clock(), 99)
        shards = place(views, crew.desks, shard_seconds=60)
    return [scene.offer(scene.worker(s.worker_id), job_id, s.track_ids) for s in shards]


def test_a_track_costs_its_seconds_on_the_engine(scene: FarmFixture, worker: WorkerRow) -> None:
    job_id = scene.submit(briefs(2)).job_id
    offer = scene.claimed(worker, job_id)
    first, second = scene.ids(job_id)
    scene.report(worker, offer, done=[scene.upload(offer, first, service=10.0)])
    assert spent(scene, job_id) == pytest.approx(0.01)
    scene.report(worker, offer, failed=[failure(second, service=4.0)])
    assert spent(scene, job_id) == pytest.approx(0.014), "a failure costs its engine time"
    with scene.database.read() as session:
        totals = {(n, labels.get("bought")): v for n, labels, v in events.totals(session)}
    assert totals["cost_dollars", "tracks"] == pytest.approx(0.01)
    assert totals["cost_dollars", "failures"] == pytest.approx(0.004)


def test_a_report_that_comes_again_costs_nothing(scene: FarmFixture, worker: WorkerRow) -> None:
    """A worker repeats unacknowledged reports."""
    job_id = scene.submit(briefs(2)).job_id
    offer = scene.claimed(worker, job_id)
    first, second = scene.ids(job_id)
    done, failed = scene.upload(offer, first, service=10.0), failure(second, service=4.0)
    scene.report(worker, offer, done=[done, done], failed=[failed, failed])
    for _ in range(2):
        verdicts = scene.report(worker, offer, done=[done], failed=[failed])
        assert {v.verdict for v in verdicts} == {ReportVerdict.ALREADY_DONE, ReportVerdict.REFUSED}
    assert spent(scene, job_id) == pytest.approx(0.014)


def test_what_was_refused_costs_nothing(scene: FarmFixture, worker: WorkerRow) -> None:
    job_id = scene.submit(briefs(1)).job_id
    offer = scene.claimed(worker, job_id)
    (track_id,) = scene.ids(job_id)
    thief = scene.join("thief", price_per_hour=1000.0)
    scene.report(thief, offer, failed=[failure(track_id, service=3600.0)])
    assert spent(scene, job_id) == 0


def test_what_runs_is_committed(scene: FarmFixture, worker: WorkerRow) -> None:
    """Each track takes two seconds, at a tenth of a cent per second."""
    job_id = scene.submit(briefs(9), budget=1.0).job_id
    assert affordable(scene, job_id) == pytest.approx(1.0)
    offer = scene.claimed(worker, job_id, scene.ids(job_id)[:3])
    assert affordable(scene, job_id) == pytest.approx(1 - 0.006)
    scene.finish(worker, offer)
    assert affordable(scene, job_id) == pytest.approx(1 - 0.006), "now it is spent"


def test_a_job_without_budget_may_spend_what_it_likes(
    scene: FarmFixture, worker: WorkerRow
) -> None:
    job_id = scene.submit(briefs(3)).job_id
    scene.claimed(worker, job_id, scene.ids(job_id)[:1])
    assert affordable(scene, job_id) is None


def test_it_ends_only_when_nothing_runs_any_more(scene: FarmFixture, worker: WorkerRow) -> None:
    job_id = scene.submit(briefs(3), budget=0.005).job_id
    first, second, _ = scene.ids(job_id)
    running = scene.claimed(worker, job_id, [first, second])
    scene.report(worker, running, done=[scene.upload(running, first, service=50.0)])
    assert spent(scene, job_id) > 0.005
    assert place_all(scene, job_id) == []
    assert scene.settled(job_id) == "running", "running shards are finished"
    scene.finish(worker, running)
    assert scene.settled(job_id) == "out_of_budget"
    ended = scene.job(job_id)
    assert (ended.reason, ended.finished_at) == (
        "the budget is spent; 1 tracks are not made",
        scene.clock(),
    )
    assert scene.states(job_id) == {"done": 2, "pending": 1}


def test_without_a_worker_a_job_is_not_broke(scene: FarmFixture) -> None:
    job_id = scene.submit(briefs(1), budget=1e-9).job_id
    assert scene.settled(job_id) == "accepted"


def test_a_worker_that_costs_nothing_goes_on(scene: FarmFixture, worker: WorkerRow) -> None:
    own = scene.join("own")
    job_id = scene.submit(briefs(9), budget=1e-9).job_id
    offers = place_all(scene, job_id)
    assert {o.queue for o in offers} == {own.queue}
    scene.claim(own, offers[0])
    assert scene.settled(job_id) == "running"


def test_a_cheap_worker_that_cannot_make_it_is_no_reason_to_wait(scene: FarmFixture) -> None:
    """Nor is a track that only needs an unaffordable GPU: either would keep the job open for
    ever."""
    scene.join("cheap", memory_mib=6_144, price_per_hour=0.0, model_set="acestep-v15-turbo")
    scene.join("dear", memory_mib=24_564, price_per_hour=1000.0, model_set="acestep-v15-turbo")
    submission = scene.begin(kind="acestep-v15-turbo", budget=1e-6)
    scene.add(submission, briefs(2, duration=600))
    job_id = scene.seal(submission).job_id
    assert place_all(scene, job_id) == []
    assert scene.settled(job_id) == "out_of_budget"


def test_a_job_that_cannot_pay_for_anything_says_so_at_once(
    scene: FarmFixture, worker: WorkerRow
) -> None:
    job_id = scene.submit(briefs(2), budget=1e-9).job_id
    assert scene.settled(job_id) == "out_of_budget"
    assert scene.job(job_id).reason == "the budget is spent; 2 tracks are not made"


def test_more_money_lets_it_go_on(scene: FarmFixture, worker: WorkerRow) -> None:
    job_id = scene.submit(briefs(4), budget=0.003).job_id
    scene.finish(worker, scene.claimed(worker, job_id, scene.ids(job_id)[:1]))
    assert scene.settled(job_id) == "out_of_budget"
    scene.change(job_id, jobs.resume)
    again = scene.job(job_id)
    assert (again.state, again.finished_at, again.reason) == ("running", None, "")
    assert scene.settled(job_id) == "out_of_budget", "the budget is unchanged"
    scene.change(job_id, lambda session, job, now: jobs.resume(session, job, now, budget=1.0))
    assert scene.settled(job_id) == "running"
    while offers := place_all(scene, job_id):
        assert len(offers) <= SHARDS_AHEAD
        for offer in offers:
            scene.claim(worker, offer)
            scene.finish(worker, offer)
    assert scene.settled(job_id) == "done"
    assert spent(scene, job_id) <= 1.0


def test_another_job_gets_what_it_shares_with_a_broke_one(
    scene: FarmFixture, worker: WorkerRow
) -> None:
    broke = scene.submit(briefs(3), budget=0.002).job_id
    other = scene.submit(briefs(4)).job_id
    scene.finish(worker, scene.claimed(worker, broke, scene.ids(broke)[:1]))
    assert scene.settled(broke) == "out_of_budget"
    assert len(scene.made_by(other, TrackState.PENDING)) == 3
