"""Two schedulers on one database: one leads, the other takes over, and a suspended leader changes
nothing."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from tests.scheduler.farm_fixture import FarmFixture, briefs
from tests.servers.process import wait_until
from trackfarm_scheduler.db.database import Database
from trackfarm_scheduler.db.leader_leases import SCHEDULER, NotLeading
from trackfarm_scheduler.db.tables_fleet import LeaderLeaseRow
from trackfarm_scheduler.loops.completer import JobCompleter
from trackfarm_scheduler.loops.leader import Leadership

LONG, SHORT = 3600.0, 0.3  # seconds of a leader lease, by the clock of the database


def scheduler(database: Database, holder: str, *, seconds: float = LONG) -> Leadership:
    leadership = Leadership(database=database, holder=holder, lease_seconds=seconds)
    leadership.tick()
    return leadership


def may_act(database: Database, leadership: Leadership) -> bool:
    try:
        with database.write() as session:
            leadership.require(session)
    except NotLeading:
        return False
    return True


def test_leader_is_one_of_two_schedulers(database: Database) -> None:
    one, other = scheduler(database, "one"), scheduler(database, "other")
    for _ in range(3):
        assert (one.leads, other.leads) == (True, False)
        assert (may_act(database, one), may_act(database, other)) == (True, False)
        other.tick()
        one.tick()


def test_leader_is_unknown_before_the_first_tick(database: Database) -> None:
    fresh = Leadership(database=database, holder="fresh", lease_seconds=LONG)
    assert (fresh.leads, may_act(database, fresh)) == (False, False)


def test_leader_is_one_of_many_that_start_at_once(database: Database) -> None:
    """A conflict over the first row may fail an election, but never create two leaders."""

    def start(number: int) -> Leadership | None:
        try:
            return scheduler(database, str(number))
        except IntegrityError:
            return None

    with ThreadPoolExecutor(6) as pool:
        schedulers = [c for c in pool.map(start, range(6)) if c is not None]
    assert sum(c.leads for c in schedulers) == 1
    assert sum(may_act(database, c) for c in schedulers) == 1


def test_leader_renews_during_a_long_write_of_its_own(queued_database: Database) -> None:
    one = scheduler(queued_database, "one")
    with ThreadPoolExecutor(1) as pool, queued_database.write():
        pool.submit(one.tick).result(timeout=5)
    assert may_act(queued_database, one)


def test_leader_is_replaced_after_its_lease_expired(database: Database) -> None:
    frozen = scheduler(database, "frozen", seconds=SHORT)
    other = scheduler(database, "other")

    def taken_over() -> bool:
        other.tick()
        return other.leads

    wait_until(taken_over, timeout_s=10, what="the other leads")
    assert frozen.leads, "it was suspended and does not know yet"
    assert not may_act(database, frozen)
    frozen.tick()
    assert not frozen.leads
    assert may_act(database, other)


def test_leader_may_not_act_after_its_lease_expired(database: Database) -> None:
    alone = scheduler(database, "alone", seconds=SHORT)
    wait_until(lambda: not may_act(database, alone), timeout_s=10, what="the lease ends")
    alone.tick()
    assert may_act(database, alone)


def test_leader_stays_while_it_renews(database: Database) -> None:
    one, other = (
        scheduler(database, "one", seconds=SHORT),
        scheduler(database, "other", seconds=SHORT),
    )
    with database.read() as session:
        began = _row(session).expires_at

    def renewed() -> bool:
        one.tick()
        other.tick()
        assert (one.leads, other.leads) == (True, False)
        with database.read() as session:
            return _row(session).expires_at > began + 2 * SHORT

    wait_until(renewed, timeout_s=30, what="three lease times have passed")


def test_leader_that_releases_is_replaced_at_once(database: Database) -> None:
    one, other = scheduler(database, "one"), scheduler(database, "other")
    other.release()
    assert may_act(database, one), "only the leader can resign"
    one.release()
    assert not may_act(database, one)
    other.tick()
    assert other.leads


def test_leader_keeps_its_lease_over_a_restart(database: Database) -> None:
    scheduler(database, "host:8300")
    assert scheduler(database, "host:8300").leads


def test_on_gain_is_called_once_per_gain(database: Database) -> None:
    one = Leadership(database=database, holder="one", lease_seconds=LONG)
    gained: list[str] = []
    one.on_gain = lambda: gained.append("one")
    one.tick()
    one.tick()
    assert gained == ["one"]
    one.release()
    scheduler(database, "other").release()
    with database.read() as session:
        assert _row(session).holder == "other"
    one.tick()
    assert (one.leads, gained) == (True, ["one"]), "it never noticed the loss"


def test_on_gain_is_repeated_until_it_succeeds(database: Database) -> None:
    one = Leadership(database=database, holder="one", lease_seconds=LONG)
    tries = 0

    def recover() -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise ZeroDivisionError

    one.on_gain = recover
    with pytest.raises(ZeroDivisionError):
        one.tick()
    assert not one.leads
    one.tick()
    assert (one.leads, tries) == (True, 2)


def test_require_rolls_back_a_transaction_of_a_former_leader(farm: FarmFixture) -> None:
    """Decisions of a suspended leader are rolled back with its transaction."""
    job_id = farm.submit(briefs(1)).job_id
    other = scheduler(farm.database, "other")

    def act() -> None:
        with farm.database.write() as session:
            session.get_one(type(farm.job(job_id)), job_id).state = "done"
            session.flush()
            other.require(session)

    with pytest.raises(NotLeading):
        act()
    assert farm.job(job_id).state == "accepted"


def test_completer_ends_no_job_without_the_lead(farm: FarmFixture) -> None:
    job_id = farm.submit(briefs(1)).job_id
    worker = farm.join()
    farm.finish(worker, farm.lease(worker, job_id))
    frozen = scheduler(farm.database, "frozen")
    assert not frozen.leads
    for thinks_it_leads in (False, True):
        frozen._leads = thinks_it_leads
        JobCompleter(database=farm.database, leadership=frozen, clock=farm.clock).tick()
        assert farm.job(job_id).state == "running"
    assert farm.complete(job_id) == "done"


def _row(session: Session) -> LeaderLeaseRow:
    return session.get_one(LeaderLeaseRow, SCHEDULER)
