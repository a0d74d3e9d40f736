"""Rounds of the reconciler with a real scheduler and strict fake providers with injected
failures."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from tests.fleet.fakes.account import Mishap
from tests.fleet.fleet_fixture import FleetFixture, world_at
from tests.scheduler.api_fixture import ApiFixture
from tests.scheduler.farm_fixture import briefs
from tests.servers.process import wait_until
from tests.servers.tls import certificates
from trackfarm.net.tls import unpack_ca
from trackfarm.protocol.operator import JobState
from trackfarm_fleet.autoscaler.models import ScalingRules
from trackfarm_fleet.autoscaler.policy import DAY, RentalPolicy
from trackfarm_fleet.billing.invoices import COMPLETE_S
from trackfarm_fleet.billing.job_costs import bill, by_job, together
from trackfarm_fleet.billing.ledger import CostBreakdown, CostCategory
from trackfarm_fleet.cli.background_rounds import Pacing
from trackfarm_fleet.providers.http import ATTEMPTS
from trackfarm_fleet.reconciler import NotFleetLeader

RULES = ScalingRules(max_machines=2, horizon=600.0, hold=60.0, idle=60.0, tick=20.0)
MANDATE = RentalPolicy(rules=RULES, budget=5.0)


@pytest.fixture(params=["runpod", "vast"])
def world(request: pytest.FixtureRequest, api: ApiFixture) -> Iterator[FleetFixture]:
    with world_at(request.param, api) as made:
        yield made


def until_done(world: FleetFixture, mandate: RentalPolicy = MANDATE, *, rounds: int = 150) -> None:
    for _ in range(rounds):
        world.step(mandate)
        if (
            world.is_done()
            and not world.account.running()
            and not any(rental.is_open for rental in world.rentals())
        ):
            return
    raise AssertionError([(r.status.state, r.status.reason) for r in world.rentals()])


def books_of(world: FleetFixture) -> CostBreakdown:
    return together(world.farm.usage(ended_since=0.0), world.account.clock.now)


def the_books_are_right(world: FleetFixture) -> None:
    """Assert that nothing runs, and that our costs, in total and by job, match the provider's
    bill."""
    assert world.account.running() == []
    stays, now = world.farm.usage(ended_since=0.0), world.account.clock.now
    breakdown = books_of(world)
    # The time at which a machine stopped or vanished is known only to within a round.
    assert breakdown.bill == pytest.approx(float(world.account.bill()), abs=0.01)
    assert sum(cost.total for cost in by_job(stays, now).values()) == pytest.approx(breakdown.bill)
    assert breakdown.bill == pytest.approx(bill([s.rental for s in stays], now), abs=1e-5)


def test_a_job_is_made_and_nothing_is_left(world: FleetFixture) -> None:
    world.job = world.scene.submit(briefs(30)).job_id
    until_done(world)
    assert world.scene.states(world.job) == {"done": 30}
    the_books_are_right(world)
    (cost,) = [c for job, c in by_job(world.farm.usage(ended_since=0), 0).items() if job]
    assert cost.tracks == 30
    assert cost.work > 0


def test_machines_are_told_whom_else_to_trust(world: FleetFixture, tmp_path: Path) -> None:
    authority = certificates(tmp_path / "certificates").authority
    world.fleet = world.another_fleet(ca_file=authority)
    world.job = world.scene.submit(briefs(8)).job_id
    world.step(MANDATE)
    machine, *_ = world.account.running()
    assert unpack_ca(machine.env) == authority.read_text()


def test_what_the_provider_charged_in_the_end_is_the_bill(world: FleetFixture) -> None:
    """RunPod reports its charges; for Vast nothing is documented."""
    account = world.account
    account.disk_share = Fraction(1, 10)
    world.job = world.scene.submit(briefs(30)).job_id
    until_done(world)
    charged, reckoned = float(account.bill()), books_of(world).bill
    assert charged > 1.05 * reckoned
    world.step(MANDATE, seconds=COMPLETE_S - 600)
    assert books_of(world).bill == reckoned, "the bill may not be complete"
    account.befall("billing", *[Mishap.SERVER_ERROR] * ATTEMPTS)
    for hours in (1, 2):
        before = books_of(world)
        world.step(MANDATE, seconds=3600)
        if hours == 2 and world.provider.name == "runpod":
            assert books_of(world).bill == pytest.approx(charged, abs=1e-6)
            added = books_of(world).spent_on(CostCategory.WASTE) - before.spent_on(
                CostCategory.WASTE
            )
            assert added == pytest.approx(charged - reckoned, abs=1e-6)
        else:
            assert books_of(world) == before


def test_a_machine_that_never_boots_is_replaced(world: FleetFixture) -> None:
    world.fleet = world.another_fleet(patience={"boot": 100})
    world.account.boot_seconds = 1e6
    world.job = world.scene.submit(briefs(8)).job_id
    world.step(MANDATE)
    (late,) = world.account.running()
    world.account.boot_seconds = 20
    until_done(world)
    (replaced, *others) = world.rentals()
    assert (replaced.status.provider_id, bool(others)) == (late.id, True)
    assert "no worker joined" in replaced.status.reason
    the_books_are_right(world)


@pytest.mark.parametrize("world", ["runpod"], indirect=True)
def test_a_budget_is_kept_whatever_the_deadline_asks_for(world: FleetFixture) -> None:
    world.job = world.scene.submit(briefs(400), budget=0.05).job_id
    for _ in range(120):
        world.step(replace(MANDATE, budget=0.05))
        if world.rentals() and not any(rental.is_open for rental in world.rentals()):
            break
    assert world.account.running() == []
    assert 0.02 < float(world.account.bill()) <= 0.05


@pytest.mark.parametrize("world", ["runpod"], indirect=True)
def test_a_budget_remembers_what_was_spent_days_ago(world: FleetFixture) -> None:
    world.account.boot_seconds = 600
    world.job = world.scene.submit(briefs(8)).job_id
    until_done(world)
    world.live(3 * DAY)
    world.job = world.scene.submit(briefs(4, word="later")).job_id
    spent = bill(world.rentals(), world.account.clock.now)
    long = replace(MANDATE, budget=spent, window=30 * DAY)
    (demand,) = world.farm.fleet_state(ended_since=0.0).demands
    assert not world.fleet.propose(long, demand)["tiny"].rent
    assert not world.step(long).decisions["tiny"].rent
    assert world.step(replace(long, window=DAY)).decisions["tiny"].rent


@pytest.mark.parametrize("world", ["runpod"], indirect=True)
def test_a_job_for_which_no_machine_can_be_paid_is_ended(world: FleetFixture) -> None:
    job = world.job = world.scene.submit(briefs(4)).job_id
    poor = replace(MANDATE, purpose=job, model_set="tiny", only=True, budget=1e-6)
    with Pacing(world.fleet, world.farm, poor, lambda: False, 0.01) as pacing:
        wait_until(
            lambda: world.farm.job(job).state is JobState.OUT_OF_BUDGET,
            timeout_s=20,
            what="the job is out of budget",
        )
        assert not pacing(0)
    assert world.account.machines == {}


@pytest.mark.parametrize("world", ["runpod"], indirect=True)
def test_a_fleet_process_that_wakes_up_late_changes_nothing(world: FleetFixture) -> None:
    world.job = world.scene.submit(briefs(8)).job_id
    world.step(MANDATE)
    sleeper, world.fleet = world.fleet, world.another_fleet()
    world.live(61)
    world.step(MANDATE)
    before, machine_count = world.rentals(), len(world.account.machines)
    with pytest.raises(NotFleetLeader):
        sleeper.round(MANDATE)
    assert (world.rentals(), len(world.account.machines)) == (before, machine_count)


def test_everything_that_goes_wrong_costs_no_track_and_no_machine(world: FleetFixture) -> None:
    account = world.account
    account.linger_seconds = 40
    world.job = world.scene.submit(briefs(80)).job_id
    account.befall("create", Mishap.NO_CAPACITY, Mishap.HANGS_UP_AFTER, Mishap.DONE_TWICE)
    account.befall("offers", Mishap.RATE_LIMITED)
    for _ in range(12):
        world.step(MANDATE)
    victims = [m for m in account.running() if m.id in world.rigs]
    if world.provider.name == "vast":
        account.outbid(victims[0].id)
    else:
        account.vanish(victims[0].id)
    account.befall("terminate", Mishap.SERVER_ERROR, Mishap.SERVER_ERROR)
    for _ in range(4):
        world.step(MANDATE)
    account.down = True
    for _ in range(15):  # five minutes
        world.step(MANDATE)
    account.down = False
    until_done(world)
    assert world.scene.states(world.job) == {"done": 80}
    assert len({rental.tag for rental in world.rentals()}) >= 3
    the_books_are_right(world)
    assert float(account.bill()) <= 5.0
