"""Peculiarities of Vast.ai: auctions, pages, rate limits, failed calls that leave machines
behind."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace

import pytest
from pydantic import SecretStr

from tests.fleet.contract.subjects import TAGS, request
from tests.fleet.fakes.account import Account, Fault
from tests.fleet.fakes.vast import KEY, FakeVast
from tests.servers.scripted_http import scripted_server
from trackfarm_fleet.providers.base import (
    BadRequest,
    Bidding,
    Instance,
    InstanceState,
    MachineOffer,
    NoCapacity,
    OfferQuery,
    ProviderError,
    RentalRequest,
)
from trackfarm_fleet.providers.vast import VastProvider
from trackfarm_fleet.providers.vast_schema import VastInstance, instance_of


@dataclass
class Vast:
    provider: VastProvider
    fake: FakeVast
    account: Account

    def spot(self) -> MachineOffer:
        offers = self.provider.offers(OfferQuery(interruptible=True))
        assert not isinstance(offers, ProviderError)
        return offers[0]

    def bid(self) -> RentalRequest:
        offer = self.spot()
        assert offer.min_bid is not None
        return replace(request(offer, TAGS.new()), bid=1.1 * offer.min_bid)

    def listed(self) -> list[Instance]:
        listed = self.provider.instances()
        assert not isinstance(listed, ProviderError)
        return list(listed)


@pytest.fixture
def vast() -> Iterator[Vast]:
    account = Account()
    fake = FakeVast(account)
    with (
        scripted_server(fake.reply) as server,
        closing(
            VastProvider(
                SecretStr(KEY),
                prefix=TAGS.prefix,
                url=server.url,
                now=account.clock,
                sleep=account.sleep,
            )
        ) as provider,
    ):
        yield Vast(provider, fake, account)


def test_offers_interruptible_cost_the_bid_and_the_disk(vast: Vast) -> None:
    offer = vast.spot()
    row = vast.fake.offers[int(offer.id)]
    assert offer.min_bid == row["min_bid"]
    assert offer.price_per_hour == pytest.approx(row["min_bid"] + 0.01)


def test_change_bid_restarts_an_outbid_machine(vast: Vast) -> None:
    assert isinstance(vast.provider, Bidding)
    created = vast.provider.create(vast.bid())
    assert isinstance(created, Instance)
    vast.account.clock.advance(200)
    assert vast.listed()[0].state is InstanceState.RUNNING
    vast.account.outbid(created.id)
    (stopped,) = vast.listed()
    assert stopped.state is InstanceState.STOPPED
    assert stopped.min_bid == 0.25
    assert vast.provider.change_bid(created.id, 0.28) is None
    (running,) = vast.listed()
    assert (running.state, running.price_per_hour) == (InstanceState.RUNNING, 0.28)


def test_change_bid_above_the_limit_is_not_sent(vast: Vast) -> None:
    before = len(vast.fake.requests)
    assert isinstance(vast.provider.change_bid("1", 33.0), BadRequest)
    assert len(vast.fake.requests) == before


def test_create_with_a_failed_bid_leaves_no_machine_behind(vast: Vast) -> None:
    rental_request = vast.bid()
    vast.account.inject("create", Fault.BID_TOO_LOW)
    vast.account.inject("terminate", Fault.SERVER_ERROR, Fault.RATE_LIMITED)
    assert isinstance(vast.provider.create(rental_request), NoCapacity)
    assert vast.account.running() == []
    assert len(vast.account.machines) == 1


def test_instances_reads_all_pages(vast: Vast) -> None:
    for _ in range(53):
        vast.account.rent(tag=TAGS.new(), gpu="RTX 4090", gpus=1, price=0.4, env={})
    assert len({instance.id for instance in vast.listed()}) == 53
    pages = [a for a in vast.fake.requests if a.path == "/api/v1/instances/"]
    assert [page.params.get("after_token") for page in pages] == [None, "25", "50"]


def test_calls_keep_the_documented_intervals(vast: Vast) -> None:
    """The server rejects calls that come too soon; here it never has to."""
    for _ in range(3):
        created = vast.provider.create(request(vast.spot(), TAGS.new()))
        assert isinstance(created, Instance)
        assert vast.provider.terminate(created.id) is None
    assert max(vast.account.slept) <= 6.0


def test_create_with_a_too_long_setting_is_not_sent(vast: Vast) -> None:
    rental_request = request(vast.spot(), TAGS.new())
    rental_request = replace(rental_request, secrets={"TOKEN": SecretStr("s" * 300)})
    answer = vast.provider.create(rental_request)
    assert isinstance(answer, BadRequest)
    assert "s" * 20 not in answer.detail


def test_create_keeps_the_entry_point_of_the_image(vast: Vast) -> None:
    rental_request = vast.bid()
    assert isinstance(vast.provider.create(rental_request), Instance)
    (sent,) = [call.json for call in vast.fake.requests if "/asks/" in call.path]
    assert (sent["runtype"], sent["cancel_unavail"]) == ("args", True)
    assert (sent["label"], sent["price"]) == (rental_request.tag, rental_request.bid)


@pytest.mark.parametrize(
    ("status", "is_bid", "expected"),
    [
        (None, False, InstanceState.STARTING),
        ("loading", True, InstanceState.STARTING),
        ("running", True, InstanceState.RUNNING),
        ("stopped", True, InstanceState.STOPPED),
        ("stopped", False, InstanceState.BROKEN),
        ("frozen", False, InstanceState.BROKEN),
        ("exited", False, InstanceState.BROKEN),
        ("unknown", True, InstanceState.BROKEN),
        ("offline", True, InstanceState.BROKEN),
        ("a word of next year", True, InstanceState.STARTING),
    ],
)
def test_instances_map_each_status_to_a_state(
    status: str | None, is_bid: bool, expected: InstanceState
) -> None:
    assert instance_of(VastInstance(id=1, actual_status=status, is_bid=is_bid)).state is expected


def test_instances_with_a_failed_container_are_broken() -> None:
    row = VastInstance(id=1, actual_status="created", status_msg="OCI runtime create failed: no")
    assert instance_of(row).state is InstanceState.BROKEN
