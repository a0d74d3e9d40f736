"""Rentals from intent to end on failing providers: no machine is left running, none is closed too
soon, and the ledger matches the provider's bill."""

import random
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

import pytest

from tests.fleet.contract.subjects import TAGS, Subject, runpod_subject, vast_subject
from tests.fleet.fakes.account import Account, Mishap
from trackfarm.identity import new_id
from trackfarm.protocol.fleet import RentalState
from trackfarm_fleet.billing.ledger import MICRO, Rate, RentalCosting, account_of
from trackfarm_fleet.providers.base import Instance, MachineOffer, OfferQuery, ProviderError
from trackfarm_fleet.rentals.models import Observation, RentalRecord, Timeouts, WorkerObservation
from trackfarm_fleet.rentals.orphans import Terminate, kept_of, reap
from trackfarm_fleet.rentals.state_machine import asked_to_end, created, must_ask_to_end, observed

PATIENCE = Timeouts()
MISHAPS = {
    "create": [
        Mishap.NO_CAPACITY,
        Mishap.RATE_LIMITED,
        Mishap.HANGS_UP_BEFORE,
        Mishap.HANGS_UP_AFTER,
        Mishap.DONE_TWICE,
        Mishap.SERVER_ERROR,
    ],
    "list": [Mishap.SERVER_ERROR, Mishap.HANGS_UP_BEFORE, Mishap.RATE_LIMITED],
    "terminate": [Mishap.SERVER_ERROR, Mishap.HANGS_UP_AFTER, Mishap.RATE_LIMITED],
}


@dataclass
class Fleet:
    """A minimal loop around the pure parts."""

    subject: Subject
    account: Account
    rows: dict[str, RentalRecord] = field(default_factory=dict)

    def rent(self, offer: MachineOffer) -> str:
        now, tag = self.account.clock.now, TAGS.new()
        row = RentalRecord(new_id("rental"), tag, offer.provider, offer.gpu, 1, 0.4, now, now)
        self.rows[tag] = row
        answer = self.subject.provider.create(self.subject.request(tag))
        self.rows[tag] = created(row, answer, self.account.clock.now)
        return tag

    def look(self, *, wanted: bool) -> None:
        asked_at = self.account.clock.now
        listed = self.subject.provider.instances()
        if isinstance(listed, ProviderError):
            return
        now = self.account.clock.now
        rulings = reap(
            listed,
            self.rows.values(),
            tags=TAGS,
            listed_at=asked_at,
            now=now,
            patience=PATIENCE,
        )
        for ruling in rulings:
            if isinstance(ruling, Terminate):
                self.subject.provider.terminate(ruling.instance.id)
        for tag, row in self.rows.items():
            self.rows[tag] = self._advanced(row, listed, asked_at, wanted)

    def _advanced(
        self, row: RentalRecord, listed: Sequence[Instance], asked_at: float, wanted: bool
    ) -> RentalRecord:
        mine = kept_of(row, [i for i in listed if i.tag == row.tag])
        now = self.account.clock.now
        machine = self.account.machines.get(row.provider_id)
        joined = machine is not None and now > machine.boots_at and not machine.stopped
        worker = WorkerObservation(1.0, left=not wanted) if joined else None
        row = observed(row, Observation(now, asked_at, mine, worker, wanted), PATIENCE)
        if must_ask_to_end(row, now, PATIENCE):
            self.subject.provider.terminate(row.provider_id)
            row = asked_to_end(row, self.account.clock.now)
        return row


def _over(name: str) -> AbstractContextManager[Subject]:
    return runpod_subject() if name == "runpod" else vast_subject()


@pytest.fixture(params=["runpod", "vast"])
def fleet(request: pytest.FixtureRequest) -> Iterator[Fleet]:
    with _over(request.param) as subject:
        assert subject.account is not None
        yield Fleet(subject, subject.account)


@pytest.mark.parametrize("seed", range(3))
def test_after_many_bad_days_nothing_of_ours_runs_and_every_row_is_closed(
    fleet: Fleet, seed: int
) -> None:
    chance = random.Random(seed)
    account = fleet.account
    account.linger_seconds = 90
    offers = fleet.subject.provider.offers(OfferQuery())
    assert not isinstance(offers, ProviderError)
    for _ in range(8):
        for operation, mishaps in MISHAPS.items():
            account.befall(operation, *chance.sample([*mishaps, None, None], 2))
        fleet.rent(offers[0])
        _misfortune(account, chance)
        for _ in range(3):
            account.clock.advance(20)
            fleet.look(wanted=True)
    for _ in range(200):
        account.clock.advance(20)
        fleet.look(wanted=False)
        if not any(row.is_open for row in fleet.rows.values()):
            break
    assert [row for row in fleet.rows.values() if row.is_open] == []
    assert account.running() == []


def _misfortune(account: Account, chance: random.Random) -> None:
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


def test_the_ledger_of_a_life_is_the_providers_bill(fleet: Fleet) -> None:
    account = fleet.account
    tag = fleet.rent(fleet.subject.offer())
    for _ in range(30):
        account.clock.advance(60)
        fleet.look(wanted=True)
    assert fleet.rows[tag].state is RentalState.JOINED
    for _ in range(4):
        account.clock.advance(20)
        fleet.look(wanted=False)
    row = fleet.rows[tag]
    assert row.state is RentalState.ENDED
    machine = account.machines[row.provider_id]
    assert machine.ended_at is not None
    stay = RentalCosting(
        start=row.created_at or 0.0,
        end=machine.ended_at,
        joined_at=row.joined_at,
        rates=[Rate(row.created_at or 0.0, row.price_per_hour)],
        tracks=10,
    )
    books = account_of(stay)
    assert sum(books.dollars.values()) == round(account.bill() * MICRO)
    assert books.per_track == pytest.approx(float(account.bill()) / 10, abs=1e-6)


def test_a_restarted_fleet_with_its_rows_ends_what_nobody_claims(fleet: Fleet) -> None:
    """One machine was made by a create call with a lost rental, one by another farm."""
    kept = fleet.rent(fleet.subject.offer())
    lost = fleet.rent(fleet.subject.offer())
    stranger = fleet.account.rent(tag="tf-spa-0123456789abcdef", gpu="x", gpus=1, price=1, env={})
    del fleet.rows[lost]
    fleet.account.clock.advance(200)
    restarted = replace(fleet.subject, provider=fleet.subject.reopened(TAGS.prefix))
    Fleet(restarted, fleet.account, fleet.rows).look(wanted=True)
    running_tags = {machine.tag for machine in fleet.account.running()}
    assert running_tags == {kept, stranger.tag}
