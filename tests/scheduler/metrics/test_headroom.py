"""Headroom of budgets and deadlines."""

import pytest

from tests.scheduler.farm_fixture import FarmFixture, briefs
from tests.scheduler.metrics.exposed import collector, scraped, value
from trackfarm_scheduler.db.tables import WorkerRow

KIND = {"model_set": "tiny", "tier": "vram24"}


def test_headroom_of_a_budget(farm: FarmFixture) -> None:
    worker = farm.join(price_per_hour=900)
    job = farm.submit(briefs(2), budget=10.0).job_id
    farm.submit(briefs(1, word="harp"), catalog="rich", budget=1000.0)
    farm.claim(worker, offer := farm.offer(worker, job, farm.track_ids(job)[:1]))
    farm.report(worker, offer, done=[farm.upload(offer, farm.track_ids(job)[0], service=37)])
    samples = scraped(collector(farm))
    assert value(samples, "job_budget_headroom_ratio", state="running") == pytest.approx(0.075)
    assert value(samples, "jobs_budget_nearly_spent", state="running") == 1
    assert value(samples, "jobs_budget_nearly_spent", state="accepted") == 0


def test_headroom_of_a_deadline(farm: FarmFixture) -> None:
    farm.heartbeat(farm.join())
    far = farm.clock() + 100_000
    farm.submit(briefs(1), deadline=far)
    samples = scraped(collector(farm))
    headroom = value(samples, "job_deadline_headroom_seconds", state="accepted")
    assert headroom is not None
    assert 90_000 < headroom < 100_000
    assert value(samples, "jobs_deadline_at_risk", state="accepted") == 0
    farm.clock.advance(99_999.9)
    samples = scraped(collector(farm))
    assert value(samples, "jobs_deadline_at_risk", state="accepted") == 1


def test_headroom_is_missing_without_a_worker(farm: FarmFixture) -> None:
    farm.submit(briefs(1), deadline=farm.clock() + 100_000)
    samples = scraped(collector(farm))
    assert value(samples, "jobs_deadline_at_risk", state="accepted") == 1
    assert not farm.rows(WorkerRow)
