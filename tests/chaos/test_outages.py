"""Outages of the broker and the scheduler in mid-job: nothing is lost, nothing is made twice."""

from functools import partial

import pytest

from tests.chaos.busy import computing, half_finished, submitted
from tests.end_to_end.farm import LocalFarm
from tests.end_to_end.job_checks import computed_once, ends_done, made_exactly_once
from tests.servers.process import wait_until

OUTAGE_HEARTBEATS = 8  # about as many seconds


def test_broker_that_returns_empty_costs_no_work(farm: LocalFarm) -> None:
    job = submitted(farm, 10)
    half_finished(farm, job)
    farm.parts.broker.restart_empty()
    ends_done(farm, job)
    computed_once(farm, job)
    made_exactly_once(farm, job)


@pytest.mark.soak
def test_running_shards_are_finished_without_a_broker(farm: LocalFarm) -> None:
    job = submitted(farm, 10)
    held = {lease.id for lease in computing(farm, "one")}
    farm.parts.broker.kill()
    try:
        wait_until(
            lambda: not farm.ledger.open_under(held), timeout_s=30, what="its shards are finished"
        )
        assert {a.state for a in farm.ledger.attempts_under(held)} == {"done"}
        assert not farm.client.status().broker_ok
        assert farm.client.job(job).tracks.failed == 0
    finally:
        farm.parts.broker.start()
    ends_done(farm, job)
    computed_once(farm, job)
    made_exactly_once(farm, job)


def test_killed_scheduler_continues_its_jobs(farm: LocalFarm) -> None:
    job = submitted(farm, 10)
    half_finished(farm, job)
    done = farm.ledger.done(job)
    lost = farm.ledger.events("worker_lost")
    farm.kill_scheduler()
    farm.start_scheduler()
    assert farm.client.job(job).tracks.done >= done
    ends_done(farm, job)
    computed_once(farm, job)
    made_exactly_once(farm, job)
    assert farm.ledger.events("worker_lost") == lost


@pytest.mark.soak
def test_results_are_delivered_after_an_outage_of_the_scheduler(farm: LocalFarm) -> None:
    job = submitted(farm, 10)
    half_finished(farm, job)
    missed = {name: heartbeats_missed(farm, name) for name in farm.workers}
    farm.kill_scheduler()
    for name, before in missed.items():
        wait_until(
            partial(has_missed_it, farm, name, before + OUTAGE_HEARTBEATS),
            timeout_s=60,
            what=f"{name} has missed the scheduler for some seconds",
        )
    farm.start_scheduler()
    ends_done(farm, job)
    computed_once(farm, job)


def heartbeats_missed(farm: LocalFarm, name: str) -> int:
    return (farm.folder / f"{name}.log").read_text().count("heartbeat_failed")


def has_missed_it(farm: LocalFarm, name: str, times: int) -> bool:
    return heartbeats_missed(farm, name) >= times
