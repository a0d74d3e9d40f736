"""Spending of jobs and hourly usage of keys, by the engine seconds of reports."""

from dataclasses import astuple

import pytest

from tests.scheduler.farm_fixture import FarmFixture, briefs, failure
from trackfarm_scheduler.db import spending
from trackfarm_scheduler.db.spending import DAY, HOUR, UsageTotals
from trackfarm_scheduler.db.tables import LeaseRow


def usage(farm: FarmFixture, **filters: object) -> list[UsageTotals]:
    values = {"since": 0, "until": 10**10, "owner": None, "key_id": None, "step": None} | filters
    with farm.database.read() as session:
        return list(spending.list_usage(session, **values))  # type: ignore[arg-type]


def finish_one(farm: FarmFixture, job_id: str, *, service: float) -> None:
    worker, (track_id,) = farm.join(price_per_hour=3.6), farm.track_ids(job_id)
    offer = farm.lease(worker, job_id)
    farm.report(worker, offer, done=[farm.upload(offer, track_id, service=service)])


def test_charge_adds_done_and_failed_engine_seconds_to_job_and_key(farm: FarmFixture) -> None:
    worker, job_id = farm.join(price_per_hour=3.6), farm.submit(briefs(2)).job_id
    one, two = farm.track_ids(job_id)
    offer = farm.lease(worker, job_id)
    farm.report(
        worker,
        offer,
        done=[farm.upload(offer, one, service=20.0)],
        failed=[failure(two, service=10.0)],
    )
    assert farm.job(job_id).spent == pytest.approx(0.03)
    (totals,) = usage(farm)
    assert totals.owner == "operator"
    assert astuple(totals.amounts) == pytest.approx((1, 1, 10.0, 30.0, 0.03))


def test_charge_counts_a_repeated_report_once(farm: FarmFixture) -> None:
    worker, job_id = farm.join(price_per_hour=3.6), farm.submit(briefs(1)).job_id
    offer = farm.lease(worker, job_id)
    done = farm.upload(offer, farm.track_ids(job_id)[0], service=20.0)
    for _ in range(3):
        farm.report(worker, offer, done=[done])
    assert farm.job(job_id).spent == pytest.approx(0.02)
    assert [totals.amounts.tracks for totals in usage(farm)] == [1]


def test_list_usage_splits_by_hour_or_day_and_filters_by_owner(farm: FarmFixture) -> None:
    start = int(farm.clock()) // DAY * DAY + DAY
    farm.clock.advance(start - farm.clock())
    for owner in ("ann", "bob"):
        job_id = farm.submit(briefs(1, word=owner), owner=owner).job_id
        finish_one(farm, job_id, service=5.0)
        farm.clock.advance(HOUR)
    assert [(t.owner, t.since) for t in usage(farm, step=HOUR)] == [
        ("ann", start),
        ("bob", start + HOUR),
    ]
    assert [(t.owner, t.since) for t in usage(farm, step=DAY)] == [("ann", start), ("bob", start)]
    assert [t.owner for t in usage(farm, owner="bob")] == ["bob"]
    assert [t.owner for t in usage(farm, until=start + HOUR)] == ["ann"]


def test_add_engine_seconds_sums_over_reports(farm: FarmFixture) -> None:
    worker, job_id = farm.join(), farm.submit(briefs(1)).job_id
    offer = farm.lease(worker, job_id)
    for seconds in (1.5, 2.0):
        with farm.database.write() as session:
            spending.add_engine_seconds(session, offer.lease_id, seconds)
    assert [lease.engine_seconds for lease in farm.rows(LeaseRow)] == [3.5]
