"""Audited transactions: the change and its record, or the refusal and its record."""

import pytest

from tests.scheduler.api_fixture import build
from tests.scheduler.farm_fixture import FarmFixture, briefs
from trackfarm_scheduler.api.audited import audited_transaction
from trackfarm_scheduler.api.errors import ApiError
from trackfarm_scheduler.db import jobs
from trackfarm_scheduler.db.tables_access import AuditRow
from trackfarm_scheduler.policy.identity import Actor

ACTOR = Actor(key_id="key_1", key_name="shop", address="192.0.2.1", request_id="req_1")


def test_transaction_commits_the_change_with_its_record(sqlite_farm: FarmFixture) -> None:
    job_id = sqlite_farm.submit(briefs(1)).job_id
    services = build(sqlite_farm, "http://farm.example")
    with audited_transaction(services, ACTOR, "job.pause", job_id[:6]) as change:
        change.target = job_id
        jobs.pause(change.session, jobs.find(change.session, job_id)[0], sqlite_farm.clock())
    assert sqlite_farm.job(job_id).state == "paused"
    (entry,) = sqlite_farm.rows(AuditRow)
    assert (entry.action, entry.target, entry.outcome) == ("job.pause", job_id, "done")
    assert (entry.key_id, entry.address, entry.request_id) == ("key_1", "192.0.2.1", "req_1")


def test_transaction_records_a_refusal_and_rolls_the_change_back(sqlite_farm: FarmFixture) -> None:
    job_id = sqlite_farm.submit(briefs(1)).job_id
    services = build(sqlite_farm, "http://farm.example")

    def pause_and_refuse() -> None:
        with audited_transaction(services, ACTOR, "job.pause", job_id) as change:
            jobs.pause(change.session, jobs.find(change.session, job_id)[0], sqlite_farm.clock())
            raise ApiError(409, "not now")

    with pytest.raises(ApiError):
        pause_and_refuse()
    assert sqlite_farm.job(job_id).state == "accepted"
    (entry,) = sqlite_farm.rows(AuditRow)
    assert entry.outcome == "refused: not now"


def test_transaction_records_nothing_for_a_defect(sqlite_farm: FarmFixture) -> None:
    services = build(sqlite_farm, "http://farm.example")
    with (
        pytest.raises(ZeroDivisionError),
        audited_transaction(services, ACTOR, "job.pause", "job_1"),
    ):
        raise ZeroDivisionError
    assert sqlite_farm.count(AuditRow) == 0
