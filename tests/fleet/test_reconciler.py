"""Rounds of the reconciler with a real scheduler and strict fake providers with injected
failures."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from tests.fleet.fakes.account import Fault
from tests.fleet.fleet_fixture import FleetFixture, open_fleet_fixture
from tests.scheduler.api_fixture import ApiFixture
from tests.scheduler.farm_fixture import briefs
from tests.servers.process import wait_until
from tests.servers.tls import certificates
from trackfarm.net.tls import unpack_ca
from trackfarm.protocol.operator import JobState
from trackfarm_fleet.autoscaler.models import ScalingRules
from trackfarm_fleet.autoscaler.policy import DAY, RentalPolicy
from trackfarm_fleet.billing.invoices import COMPLETE_S
from trackfarm_fleet.billing.job_costs import costs_by_job, total_breakdown, total_cost
from trackfarm_fleet.billing.ledger import CostBreakdown, CostCategory
from trackfarm_fleet.cli.background_rounds import BackgroundRounds
from trackfarm_fleet.providers.http import ATTEMPTS
from trackfarm_fleet.reconciler import NotFleetLeader

RULES = ScalingRules(
    max_machines=2,
    horizon_seconds=600.0,
    min_hold_seconds=60.0,
    idle_timeout_seconds=60.0,
    tick_seconds=20.0,
)
POLICY = RentalPolicy(rules=RULES, budget=5.0)


@pytest.fixture(params=["runpod", "vast"])
def fixture(request: pytest.FixtureRequest, api: ApiFixture) -> Iterator[FleetFixture]:
    with open_fleet_fixture(request.param, api) as opened:
        yield opened


def until_done(fixture: FleetFixture, policy: RentalPolicy = POLICY, *, rounds: int = 150) -> None:
    for _ in range(rounds):
        fixture.step(policy)
        if (
            fixture.is_done()
            and not fixture.account.running()
            and not any(rental.is_open for rental in fixture.rentals())
        ):
            return
    raise AssertionError([(r.status.state, r.status.reason) for r in fixture.rentals()])


def breakdown_of(fixture: FleetFixture) -> CostBreakdown:
    return total_breakdown(fixture.farm.usage(ended_since=0.0), fixture.account.clock.now)


def assert_costs_match(fixture: FleetFixture) -> None:
    """Assert that nothing runs, and that our costs, in total and by job, match the provider's
    bill."""
    assert fixture.account.running() == []
    usages, now = fixture.farm.usage(ended_since=0.0), fixture.account.clock.now
    breakdown = breakdown_of(fixture)
    # The time at which a machine stopped or vanished is known only to within a round.
    assert breakdown.bill == pytest.approx(float(fixture.account.bill()), abs=0.01)
    assert sum(cost.total for cost in costs_by_job(usages, now).values()) == pytest.approx(
        breakdown.bill
    )
    total = total_cost([usage.rental for usage in usages], now)
    assert breakdown.bill == pytest.approx(total, abs=1e-5)


def test_reconcile_makes_a_job_and_leaves_no_machine(fixture: FleetFixture) -> None:
    fixture.job = fixture.scene.submit(briefs(30)).job_id
    until_done(fixture)
    assert fixture.scene.states(fixture.job) == {"done": 30}
    assert_costs_match(fixture)
    (cost,) = [c for job, c in costs_by_job(fixture.farm.usage(ended_since=0), 0).items() if job]
    assert cost.tracks == 30
    assert cost.work > 0


def test_reconcile_passes_the_ca_to_machines(fixture: FleetFixture, tmp_path: Path) -> None:
    authority = certificates(tmp_path / "certificates").authority
    fixture.fleet = fixture.new_reconciler(ca_file=authority)
    fixture.job = fixture.scene.submit(briefs(8)).job_id
    fixture.step(POLICY)
    machine, *_ = fixture.account.running()
    assert unpack_ca(machine.env) == authority.read_text()


def test_reconcile_replaces_the_estimate_by_the_providers_charge(fixture: FleetFixture) -> None:
    """RunPod reports its charges; for Vast nothing is documented."""
    account = fixture.account
    account.disk_share = Fraction(1, 10)
    fixture.job = fixture.scene.submit(briefs(30)).job_id
    until_done(fixture)
    charged, estimated = float(account.bill()), breakdown_of(fixture).bill
    assert charged > 1.05 * estimated
    fixture.step(POLICY, seconds=COMPLETE_S - 600)
    assert breakdown_of(fixture).bill == estimated, "the bill may not be complete"
    account.inject("billing", *[Fault.SERVER_ERROR] * ATTEMPTS)
    for hours in (1, 2):
        before = breakdown_of(fixture)
        fixture.step(POLICY, seconds=3600)
        if hours == 2 and fixture.provider.name == "runpod":
            assert breakdown_of(fixture).bill == pytest.approx(charged, abs=1e-6)
            added = breakdown_of(fixture).dollars(CostCategory.WASTE) - before.dollars(
                CostCategory.WASTE
            )
            assert added == pytest.approx(charged - estimated, abs=1e-6)
        else:
            assert breakdown_of(fixture) == before


def test_reconcile_replaces_a_machine_that_never_boots(fixture: FleetFixture) -> None:
    fixture.fleet = fixture.new_reconciler(timeouts={"boot_timeout_seconds": 100})
    fixture.account.boot_seconds = 1e6
    fixture.job = fixture.scene.submit(briefs(8)).job_id
    fixture.step(POLICY)
    (late,) = fixture.account.running()
    fixture.account.boot_seconds = 20
    until_done(fixture)
    (replaced, *others) = fixture.rentals()
    assert (replaced.status.provider_id, bool(others)) == (late.id, True)
    assert "no worker joined" in replaced.status.reason
    assert_costs_match(fixture)


@pytest.mark.parametrize("fixture", ["runpod"], indirect=True)
def test_reconcile_keeps_the_budget_over_the_deadline(fixture: FleetFixture) -> None:
    fixture.job = fixture.scene.submit(briefs(400), budget=0.05).job_id
    for _ in range(120):
        fixture.step(replace(POLICY, budget=0.05))
        if fixture.rentals() and not any(rental.is_open for rental in fixture.rentals()):
            break
    assert fixture.account.running() == []
    assert 0.02 < float(fixture.account.bill()) <= 0.05


@pytest.mark.parametrize("fixture", ["runpod"], indirect=True)
def test_reconcile_counts_spending_within_the_budget_window(fixture: FleetFixture) -> None:
    fixture.account.boot_seconds = 600
    fixture.job = fixture.scene.submit(briefs(8)).job_id
    until_done(fixture)
    fixture.live(3 * DAY)
    fixture.job = fixture.scene.submit(briefs(4, word="later")).job_id
    spent = total_cost(fixture.rentals(), fixture.account.clock.now)
    long = replace(POLICY, budget=spent, budget_window_seconds=30 * DAY)
    (demand,) = fixture.farm.fleet_state(ended_since=0.0).demands
    assert not fixture.fleet.propose(long, demand)["tiny"].rent
    assert not fixture.step(long).decisions["tiny"].rent
    assert fixture.step(replace(long, budget_window_seconds=DAY)).decisions["tiny"].rent


@pytest.mark.parametrize("fixture", ["runpod"], indirect=True)
def test_background_rounds_end_a_job_without_money_for_a_machine(fixture: FleetFixture) -> None:
    job = fixture.job = fixture.scene.submit(briefs(4)).job_id
    poor = replace(POLICY, purpose=job, model_set="tiny", is_exclusive=True, budget=1e-6)
    with BackgroundRounds(fixture.fleet, fixture.farm, poor, lambda: False, 0.01) as rounds:
        wait_until(
            lambda: fixture.farm.job(job).state is JobState.OUT_OF_BUDGET,
            timeout_s=20,
            what="the job is out of budget",
        )
        assert not rounds(0)
    assert fixture.account.machines == {}


@pytest.mark.parametrize("fixture", ["runpod"], indirect=True)
def test_reconcile_after_a_lost_lease_changes_nothing(fixture: FleetFixture) -> None:
    fixture.job = fixture.scene.submit(briefs(8)).job_id
    fixture.step(POLICY)
    sleeper, fixture.fleet = fixture.fleet, fixture.new_reconciler()
    fixture.live(61)
    fixture.step(POLICY)
    before, machine_count = fixture.rentals(), len(fixture.account.machines)
    with pytest.raises(NotFleetLeader):
        sleeper.reconcile(POLICY)
    assert (fixture.rentals(), len(fixture.account.machines)) == (before, machine_count)


def test_reconcile_through_all_failures_loses_no_track_and_no_machine(
    fixture: FleetFixture,
) -> None:
    account = fixture.account
    account.linger_seconds = 40
    fixture.job = fixture.scene.submit(briefs(80)).job_id
    account.inject("create", Fault.NO_CAPACITY, Fault.HANGS_UP_AFTER, Fault.DONE_TWICE)
    account.inject("offers", Fault.RATE_LIMITED)
    for _ in range(12):
        fixture.step(POLICY)
    victims = [m for m in account.running() if m.id in fixture.fake_workers]
    if fixture.provider.name == "vast":
        account.outbid(victims[0].id)
    else:
        account.vanish(victims[0].id)
    account.inject("terminate", Fault.SERVER_ERROR, Fault.SERVER_ERROR)
    for _ in range(4):
        fixture.step(POLICY)
    account.down = True
    for _ in range(15):  # five minutes
        fixture.step(POLICY)
    account.down = False
    until_done(fixture)
    assert fixture.scene.states(fixture.job) == {"done": 80}
    assert len({rental.tag for rental in fixture.rentals()}) >= 3
    assert_costs_match(fixture)
    assert float(account.bill()) <= 5.0
