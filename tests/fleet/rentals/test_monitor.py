"""Rentals from intent to end on failing providers: no machine is left running, none is closed too
soon, and the ledger matches the provider's bill."""

import random
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

import pytest

from tests.fleet.contract.subjects import TAGS, Subject, runpod_subject, vast_subject
from tests.fleet.fakes.account import Account, Fault
from trackfarm.identity import new_id
from trackfarm.protocol.fleet import PriceChange, RentalState
from trackfarm_fleet.billing.ledger import MICRO, RentalCosting, breakdown_of
from trackfarm_fleet.providers.base import Instance, MachineOffer, OfferQuery, ProviderError
from trackfarm_fleet.rentals.models import Observation, RentalRecord, Timeouts, WorkerObservation
from trackfarm_fleet.rentals.orphans import find_orphans, select_instance
from trackfarm_fleet.rentals.state_machine import (
    advance,
    after_create,
    after_terminate_request,
    is_terminate_due,
)

TIMEOUTS = Timeouts()
FAULTS = {
    "create": [
        Fault.NO_CAPACITY,
        Fault.RATE_LIMITED,
        Fault.HANGS_UP_BEFORE,
        Fault.HANGS_UP_AFTER,
        Fault.DONE_TWICE,
        Fault.SERVER_ERROR,
    ],
    "list": [Fault.SERVER_ERROR, Fault.HANGS_UP_BEFORE, Fault.RATE_LIMITED],
    "terminate": [Fault.SERVER_ERROR, Fault.HANGS_UP_AFTER, Fault.RATE_LIMITED],
}


@dataclass
class RentalLoop:
    """A minimal monitor around the pure parts."""

    subject: Subject
    account: Account
    rows: dict[str, RentalRecord] = field(default_factory=dict)

    def rent(self, offer: MachineOffer) -> str:
        now, tag = self.account.clock.now, TAGS.new()
        row = RentalRecord(new_id("rental"), tag, offer.provider, offer.gpu, 1, 0.4, now, now)
        self.rows[tag] = row
        answer = self.subject.provider.create(self.subject.request(tag))
        self.rows[tag] = after_create(row, answer, self.account.clock.now)
        return tag

    def observe(self, *, release_reason: str = "") -> None:
        requested_at = self.account.clock.now
        listed = self.subject.provider.instances()
        if isinstance(listed, ProviderError):
            return
        for orphan in find_orphans(listed, self.rows.values(), tags=TAGS):
            self.subject.provider.terminate(orphan.instance.id)
        for tag, row in self.rows.items():
            self.rows[tag] = self._advanced(row, listed, requested_at, release_reason)

    def _advanced(
        self,
        row: RentalRecord,
        listed: Sequence[Instance],
        requested_at: float,
        release_reason: str,
    ) -> RentalRecord:
        instance = select_instance(row, [i for i in listed if i.tag == row.tag])
        now = self.account.clock.now
        machine = self.account.machines.get(row.provider_id)
        has_joined = machine is not None and now > machine.boots_at and not machine.stopped
        worker = WorkerObservation(1.0, has_left=bool(release_reason)) if has_joined else None
        observation = Observation(now, requested_at, instance, worker, release_reason)
        row = advance(row, observation, TIMEOUTS)
        if is_terminate_due(row, now, TIMEOUTS):
            self.subject.provider.terminate(row.provider_id)
            row = after_terminate_request(row, self.account.clock.now)
        return row


def _over(name: str) -> AbstractContextManager[Subject]:
    return runpod_subject() if name == "runpod" else vast_subject()


@pytest.fixture(params=["runpod", "vast"])
def rental_loop(request: pytest.FixtureRequest) -> Iterator[RentalLoop]:
    with _over(request.param) as subject:
        assert subject.account is not None
        yield RentalLoop(subject, subject.account)


@pytest.mark.parametrize("seed", range(3))
def test_rentals_all_close_and_no_machine_runs_after_many_failures(
    rental_loop: RentalLoop, seed: int
) -> None:
    chance = random.Random(seed)
    account = rental_loop.account
    account.linger_seconds = 90
    offers = rental_loop.subject.provider.offers(OfferQuery())
    assert not isinstance(offers, ProviderError)
    for _ in range(8):
        for operation, faults in FAULTS.items():
            account.inject(operation, *chance.sample([*faults, None, None], 2))
        rental_loop.rent(offers[0])
        _break_one(account, chance)
        for _ in range(3):
            account.clock.advance(20)
            rental_loop.observe()
    for _ in range(200):
        account.clock.advance(20)
        rental_loop.observe(release_reason="not needed")
        if not any(row.is_open for row in rental_loop.rows.values()):
            break
    assert [row for row in rental_loop.rows.values() if row.is_open] == []
    assert account.running() == []


def _break_one(account: Account, chance: random.Random) -> None:
    running = account.running()
    if not running:
        return
    victim = chance.choice(running)
    match chance.randrange(4):
        case 0:
            account.vanish(victim.id)
        case 1:
            victim.broken = True
        case 2:
            account.outbid(victim.id)


def test_ledger_of_a_rental_equals_the_providers_bill(rental_loop: RentalLoop) -> None:
    account = rental_loop.account
    tag = rental_loop.rent(rental_loop.subject.offer())
    for _ in range(30):
        account.clock.advance(60)
        rental_loop.observe()
    assert rental_loop.rows[tag].state is RentalState.JOINED
    for _ in range(4):
        account.clock.advance(20)
        rental_loop.observe(release_reason="not needed")
    row = rental_loop.rows[tag]
    assert row.state is RentalState.ENDED
    machine = account.machines[row.provider_id]
    assert machine.ended_at is not None
    costing = RentalCosting(
        start=row.created_at or 0.0,
        end=machine.ended_at,
        joined_at=row.joined_at,
        prices=[PriceChange(at=row.created_at or 0.0, price_per_hour=row.price_per_hour)],
        tracks=10,
    )
    breakdown = breakdown_of(costing)
    assert sum(breakdown.microdollars.values()) == round(account.bill() * MICRO)
    assert breakdown.per_track == pytest.approx(float(account.bill()) / 10, abs=1e-6)


def test_restarted_fleet_ends_machines_without_a_rental(rental_loop: RentalLoop) -> None:
    """One machine was made by a create call with a lost rental, one by another farm."""
    kept = rental_loop.rent(rental_loop.subject.offer())
    lost = rental_loop.rent(rental_loop.subject.offer())
    stranger = rental_loop.account.rent(
        tag="tf-spa-0123456789abcdef", gpu="x", gpus=1, price=1, env={}
    )
    del rental_loop.rows[lost]
    rental_loop.account.clock.advance(200)
    restarted = replace(rental_loop.subject, provider=rental_loop.subject.reopened(TAGS.prefix))
    RentalLoop(restarted, rental_loop.account, rental_loop.rows).observe()
    running_tags = {machine.tag for machine in rental_loop.account.running()}
    assert running_tags == {kept, stranger.tag}
