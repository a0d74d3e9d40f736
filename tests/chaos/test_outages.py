"""The broker and the scheduler break down in mid-job: nothing is lost, nothing is made twice."""

from collections.abc import Iterator

import pytest

from tests.chaos.busy import computing, submitted
from tests.end_to_end.farm import LocalFarm, running_farm
from tests.end_to_end.promises import computed_once, ends_done, made_exactly_once
from tests.servers.process import wait_until

WORKERS = ("one", "two")


@pytest.fixture(scope="module")
def farm(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalFarm]:
    slow = {"step_delay": 0.05}
    with running_farm(request, tmp_path_factory, workers=WORKERS, worker=slow) as running:
        yield running


def test_a_broker_that_returns_empty_costs_no_work(farm: LocalFarm) -> None:
    job = submitted(farm, 8)
    computing(farm, "one", finished=1)
    farm.parts.broker.restart_empty()
    ends_done(farm, job)
    computed_once(farm, job)
    made_exactly_once(farm, job)


def test_without_a_broker_what_runs_is_finished(farm: LocalFarm) -> None:
    job = submitted(farm, 8)
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


def test_a_killed_scheduler_goes_on_where_it_was(farm: LocalFarm) -> None:
    job = submitted(farm, 8)
    computing(farm, "one", finished=1)
    done = farm.ledger.done(job)
    farm.kill_scheduler()
    farm.start_scheduler()
    assert farm.client.job(job).tracks.done >= done
    ends_done(farm, job)
    computed_once(farm, job)
    made_exactly_once(farm, job)
    assert farm.ledger.events("worker_lost") == 0
