"""Two schedulers over PostgreSQL, Redis and Swift: one leads, and loses the lead when killed or
frozen. Workers and client talk to the other one all the time."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from redis import Redis
from sqlmodel import col

from tests.chaos.busy import submit_job
from tests.chaos.slow_workers import SLOW_STEPS, WORKER_NAMES
from tests.end_to_end.farm import QUICK, LocalFarm
from tests.end_to_end.infrastructure import REAL, open_infrastructure
from tests.end_to_end.job_checks import (
    assert_counters_match,
    assert_made_exactly_once,
    wait_until_done,
)
from tests.end_to_end.processes import connections_of
from tests.servers.process import wait_until
from trackfarm_scheduler.db.tables import LeaseRow

TAKEN_OVER_S = 10.0


@dataclass(frozen=True)
class SchedulerPair:
    """Two schedulers of one farm; the workers belong to the second."""

    first: LocalFarm
    second: LocalFarm

    def leads(self, farm: LocalFarm) -> bool:
        """Return whether this scheduler holds a leader lease that has not expired."""
        leader = self.second.database.leader()
        return (
            leader.holder.endswith(farm.url.rpartition(":")[2]) and leader.expires_at > time.time()
        )

    def make_first_lead(self) -> None:
        """Make the first scheduler lead, whatever happened before: the second releases the lead
        when it stops in order."""
        if not self.first.is_up:
            self.first.start_scheduler()
        if not self.leads(self.first):
            self.second.scheduler.stop()
            wait_until(
                lambda: self.leads(self.first), timeout_s=20, what="the first scheduler leads"
            )
            self.second.start_scheduler()


@pytest.fixture(scope="module")
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SchedulerPair]:
    folder = tmp_path_factory.mktemp("pair")
    with ExitStack() as ending:
        infrastructure = ending.enter_context(open_infrastructure(REAL, request, folder))
        farms = []
        for name in ("first", "second"):
            (folder / name).mkdir()
            farms.append(LocalFarm(infrastructure, folder / name, QUICK))
            ending.callback(farms[-1].stop)
            farms[-1].start_scheduler()
        running = SchedulerPair(*farms)
        running.second.start_workers(*WORKER_NAMES, **SLOW_STEPS)
        yield running


@pytest.fixture
def leading_pair(pair: SchedulerPair) -> SchedulerPair:
    """Return the pair with the first scheduler leading, the second serving, and both workers
    working."""
    pair.make_first_lead()
    pair.second.start_workers(*WORKER_NAMES, **SLOW_STEPS)
    return pair


def leases_offered_since(farm: LocalFarm, moment: float) -> list[LeaseRow]:
    return sorted(
        farm.database.rows(LeaseRow, col(LeaseRow.offered_at) > moment),
        key=lambda lease: lease.offered_at,
    )


def wait_until_loaded(farm: LocalFarm, job: str) -> None:
    wait_until(partial(farm.database.has_done, job, 4), timeout_s=60, what="tracks are being made")


def freeze_in_transaction(farm: LocalFarm) -> None:
    """Stop a scheduler at the worst moment: while it holds row locks in a transaction."""
    pid = farm.scheduler.pid

    def caught() -> bool:
        os.kill(pid, signal.SIGSTOP)
        if farm.database.writing_connections(connections_of(pid)):
            return True
        os.kill(pid, signal.SIGCONT)
        return False

    wait_until(caught, timeout_s=30, what="it is in the middle of a transaction")


def watch_senders(pair: SchedulerPair, job: str, tracks: int) -> tuple[set[int], int]:
    """Monitor the broker until so many tracks are made; return the ports, other than the second
    scheduler's, that shards were sent from, and the number of shards sent."""
    other_ports: set[int] = set()
    offers = 0
    broker: Any = Redis.from_url(pair.second.infrastructure.broker.url, socket_timeout=10)
    with broker.monitor() as monitor:
        while not pair.second.database.has_done(job, tracks):
            command = monitor.next_command()
            if command["command"].upper().startswith("LPUSH GPU."):
                offers += 1
                other_ports |= {int(command["client_port"])} - connections_of(
                    pair.second.scheduler.pid
                )
    return other_ports, offers


@pytest.mark.soak
def test_standby_takes_over_when_the_leader_dies(leading_pair: SchedulerPair) -> None:
    farm = leading_pair.second
    job = submit_job(farm, 40)
    wait_until_loaded(farm, job)
    assert leading_pair.leads(leading_pair.first)
    leading_pair.first.kill_scheduler()
    killed = time.time()
    wait_until(
        lambda: bool(leases_offered_since(farm, killed)),
        timeout_s=TAKEN_OVER_S,
        what="shards are offered",
    )
    took = leases_offered_since(farm, killed)[0].offered_at - killed
    print(f"killed leader: the other places after {took:.1f} s")
    assert took <= TAKEN_OVER_S
    assert leading_pair.leads(leading_pair.second)
    wait_until_done(farm, job, timeout_s=120)
    assert_made_exactly_once(farm, job)
    assert_counters_match(farm)


@pytest.mark.soak
def test_frozen_leader_places_nothing_when_it_wakes(leading_pair: SchedulerPair) -> None:
    farm = leading_pair.second
    job = submit_job(farm, 60)
    wait_until_loaded(farm, job)
    assert leading_pair.leads(leading_pair.first)
    freeze_in_transaction(leading_pair.first)
    stopped = time.time()
    try:
        wait_until(
            lambda: (
                bool(leases_offered_since(farm, stopped))
                and leading_pair.leads(leading_pair.second)
            ),
            timeout_s=TAKEN_OVER_S,
            what="the other places",
        )
        took = leases_offered_since(farm, stopped)[0].offered_at - stopped
    finally:
        os.kill(leading_pair.first.scheduler.pid, signal.SIGCONT)
    print(f"frozen leader: the other places after {took:.1f} s")
    other_ports, offers = watch_senders(leading_pair, job, 50)
    assert offers
    assert not other_ports, "only the one that leads sends shards"
    assert "leadership_lost" in (leading_pair.first.folder / "scheduler.log").read_text()
    assert leading_pair.first.is_up
    assert leading_pair.leads(leading_pair.second)
    wait_until_done(farm, job, timeout_s=120)
    assert_made_exactly_once(farm, job)
    assert_counters_match(farm)
