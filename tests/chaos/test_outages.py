"""Outages of the broker and the scheduler in mid-job: nothing is lost, nothing is made twice."""

from functools import partial

import pytest

from tests.chaos.busy import submit_job, wait_until_computing, wait_until_half_finished
from tests.end_to_end.farm import LocalFarm
from tests.end_to_end.job_checks import (
    assert_computed_once,
    assert_made_exactly_once,
    wait_until_done,
)
from tests.servers.process import wait_until

OUTAGE_HEARTBEATS = 8  # about as many seconds


def test_broker_that_returns_empty_costs_no_work(farm: LocalFarm) -> None:
    job = submit_job(farm, 10)
    wait_until_half_finished(farm, job)
    farm.infrastructure.broker.restart_empty()
    wait_until_done(farm, job)
    assert_computed_once(farm, job)
    assert_made_exactly_once(farm, job)


@pytest.mark.soak
def test_running_shards_are_finished_without_a_broker(farm: LocalFarm) -> None:
    job = submit_job(farm, 10)
    held = {lease.id for lease in wait_until_computing(farm, "one")}
    farm.infrastructure.broker.kill()
    try:
        wait_until(
            lambda: not farm.database.open_track_ids(held),
            timeout_s=30,
            what="its shards are finished",
        )
        assert {a.state for a in farm.database.attempts_under(held)} == {"done"}
        assert not farm.client.status().broker_ok
        assert farm.client.job(job).tracks.failed == 0
    finally:
        farm.infrastructure.broker.start()
    wait_until_done(farm, job)
    assert_computed_once(farm, job)
    assert_made_exactly_once(farm, job)


def test_killed_scheduler_continues_its_jobs(farm: LocalFarm) -> None:
    job = submit_job(farm, 10)
    wait_until_half_finished(farm, job)
    done = farm.database.done_count(job)
    lost = farm.database.event_count("worker_lost")
    farm.kill_scheduler()
    farm.start_scheduler()
    assert farm.client.job(job).tracks.done >= done
    wait_until_done(farm, job)
    assert_computed_once(farm, job)
    assert_made_exactly_once(farm, job)
    assert farm.database.event_count("worker_lost") == lost


@pytest.mark.soak
def test_results_are_delivered_after_an_outage_of_the_scheduler(farm: LocalFarm) -> None:
    job = submit_job(farm, 10)
    wait_until_half_finished(farm, job)
    missed = {name: missed_heartbeats(farm, name) for name in farm.workers}
    farm.kill_scheduler()
    for name, before in missed.items():
        wait_until(
            partial(has_missed_heartbeats, farm, name, before + OUTAGE_HEARTBEATS),
            timeout_s=60,
            what=f"{name} has missed the scheduler for some seconds",
        )
    farm.start_scheduler()
    wait_until_done(farm, job)
    assert_computed_once(farm, job)


def missed_heartbeats(farm: LocalFarm, name: str) -> int:
    return (farm.folder / f"{name}.log").read_text().count("heartbeat_failed")


def has_missed_heartbeats(farm: LocalFarm, name: str, times: int) -> bool:
    return missed_heartbeats(farm, name) >= times
