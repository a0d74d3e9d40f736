"""Leader leases on both databases: one holder at a time, and a new epoch for each new leader."""

import time

import pytest

from trackfarm_scheduler.db import leader_leases
from trackfarm_scheduler.db.database import Database
from trackfarm_scheduler.db.leader_leases import FLEET, SCHEDULER, NotLeading

SECONDS = 10.0


def acquire(database: Database, holder: str, now: float, *, name: str = FLEET) -> tuple[str, int]:
    """Return the holder and the epoch after this process has tried to acquire the lease."""
    with database.write() as session:
        lease = leader_leases.acquire(session, name, holder, seconds=SECONDS, now=now)
        return lease.holder, lease.epoch


def test_acquire_waits_for_the_end_of_the_lease_of_another(database: Database) -> None:
    assert acquire(database, "one", 0) == ("one", 1)
    assert acquire(database, "other", SECONDS - 0.1) == ("one", 1)
    assert acquire(database, "one", SECONDS - 0.1) == ("one", 1), "renewed by its holder"
    assert acquire(database, "other", SECONDS) == ("one", 1)
    assert acquire(database, "other", 2 * SECONDS) == ("other", 2)


def test_leases_of_different_names_are_independent(database: Database) -> None:
    assert acquire(database, "one", 0) == ("one", 1)
    assert acquire(database, "other", 0, name=SCHEDULER) == ("other", 1)


def test_release_frees_only_the_lease_of_its_holder(database: Database) -> None:
    acquire(database, "one", 0)
    for holder, leader in (("other", ("one", 1)), ("one", ("other", 2))):
        with database.write() as session:
            leader_leases.release(session, FLEET, holder)
        assert acquire(database, "other", 1) == leader


def test_require_epoch_refuses_an_earlier_leader(database: Database) -> None:
    with pytest.raises(NotLeading), database.write() as session:
        leader_leases.require_epoch(session, FLEET, 1)
    acquire(database, "one", 0)
    acquire(database, "other", SECONDS)
    with database.write() as session:
        leader_leases.require_epoch(session, FLEET, 2)
    with pytest.raises(NotLeading), database.write() as session:
        leader_leases.require_epoch(session, FLEET, 1)


def test_require_holder_goes_by_the_clock_of_the_database(database: Database) -> None:
    with database.read() as session:
        now = leader_leases.database_time(session)
    assert now == pytest.approx(time.time(), abs=60)
    acquire(database, "one", now, name=SCHEDULER)
    with database.write() as session:
        leader_leases.require_holder(session, SCHEDULER, "one")
    with pytest.raises(NotLeading), database.write() as session:
        leader_leases.require_holder(session, SCHEDULER, "other")
    acquire(database, "one", now - 2 * SECONDS, name=SCHEDULER)
    with pytest.raises(NotLeading), database.write() as session:
        leader_leases.require_holder(session, SCHEDULER, "one")


def test_find_returns_none_before_the_first_leader(database: Database) -> None:
    with database.read() as session:
        assert leader_leases.find(session, FLEET) is None
    acquire(database, "one", 5.0)
    with database.read() as session:
        lease = leader_leases.find(session, FLEET)
        assert lease is not None
        assert (lease.holder, lease.expires_at) == ("one", 5.0 + SECONDS)
