"""Peculiarities of RunPod: a catalog by cloud and data centre, and its own statuses."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace

import pytest
from pydantic import SecretStr

from tests.fleet.contract.subjects import TAGS, TOKEN, request
from tests.fleet.fakes.account import Account
from tests.fleet.fakes.runpod import KEY, FakeRunPod
from tests.servers.scripted_http import scripted_server
from trackfarm_fleet.providers.base import (
    BadRequest,
    Instance,
    InstanceState,
    MachineOffer,
    NoCapacity,
    OfferQuery,
    ProviderError,
)
from trackfarm_fleet.providers.runpod import RunPodProvider


@dataclass
class RunPod:
    provider: RunPodProvider
    fake: FakeRunPod
    account: Account

    def offers(self, query: OfferQuery | None = None) -> list[MachineOffer]:
        offers = self.provider.offers(query or OfferQuery())
        assert not isinstance(offers, ProviderError)
        return list(offers)

    def listed(self) -> Instance:
        listed = self.provider.instances()
        assert not isinstance(listed, ProviderError)
        (only,) = listed
        return only


@pytest.fixture
def runpod() -> Iterator[RunPod]:
    account = Account()
    fake = FakeRunPod(account)
    with (
        scripted_server(fake.reply) as server,
        closing(
            RunPodProvider(
                SecretStr(KEY),
                prefix=TAGS.prefix,
                url=server.url,
                now=account.clock,
                sleep=account.sleep,
            )
        ) as provider,
    ):
        yield RunPod(provider, fake, account)


def test_offers_name_cloud_and_data_centre_and_exclude_taken_machines(runpod: RunPod) -> None:
    offers = {(o.id, o.price_per_hour, o.region, o.count) for o in runpod.offers()}
    assert ("COMMUNITY/EU-RO-1/NVIDIA GeForce RTX 4090", 0.34, "EU-RO-1", 4) in offers
    assert ("SECURE/EU-RO-1/NVIDIA GeForce RTX 4090", 0.69, "EU-RO-1", 4) in offers
    assert not [offer for offer in offers if "US-KS-2" in offer[0]]
    assert not [offer for offer in offers if offer[0].startswith("COMMUNITY/EU-RO-1/NVIDIA L4")]


def test_offers_of_several_gpus_cost_the_sum(runpod: RunPod) -> None:
    offers = runpod.offers(OfferQuery(gpus=("NVIDIA H200",), cards=2))
    assert [(o.gpus, o.price_per_hour) for o in offers] == [(2, 7.18)]
    assert runpod.offers(OfferQuery(cards=9)) == []


def test_offers_are_never_interruptible(runpod: RunPod) -> None:
    assert runpod.offers(OfferQuery(interruptible=True)) == []


def test_create_requests_the_offered_pod(runpod: RunPod) -> None:
    rental_request = request(runpod.offers()[0], TAGS.new())
    assert isinstance(runpod.provider.create(rental_request), Instance)
    (sent,) = [call.json for call in runpod.fake.requests if call.method == "POST"]
    assert sent["gpu"] == {
        "id": "NVIDIA GeForce RTX 4090",
        "count": 1,
        "minCudaVersion": "12.8",
    }
    assert (sent["cloud"], sent["dataCenterIds"]) == ("COMMUNITY", ["EU-RO-1"])
    assert (sent["name"], sent["disk"]) == (rental_request.tag, 50)


def test_create_with_a_malformed_offer_id_is_a_bad_request(runpod: RunPod) -> None:
    rental_request = request(runpod.offers()[0], TAGS.new())
    for name in ("nowhere", "MOON//NVIDIA L4"):
        answer = runpod.provider.create(
            replace(rental_request, offer=replace(rental_request.offer, id=name))
        )
        assert isinstance(answer, BadRequest)
        assert TOKEN not in answer.detail
    assert runpod.account.machines == {}


def test_instances_map_each_status_to_a_state(runpod: RunPod) -> None:
    created = runpod.provider.create(request(runpod.offers()[0], TAGS.new()))
    assert isinstance(created, Instance)
    machine = runpod.account.machines[created.id]
    assert (created.state, created.detail) == (InstanceState.STARTING, "PROVISIONING")
    runpod.account.clock.advance(30)
    assert runpod.listed().detail == "STARTING"
    runpod.account.clock.advance(120)
    assert runpod.listed().state is InstanceState.RUNNING
    runpod.account.outbid(created.id)
    assert (runpod.listed().state, runpod.listed().price_per_hour) == (InstanceState.STOPPED, 0.0)
    machine.broken = True
    assert runpod.listed().state is InstanceState.BROKEN
    machine.broken, runpod.account.linger_seconds = False, 60
    runpod.account.end(machine)
    assert runpod.listed().state is InstanceState.ENDED


def test_instances_have_the_providers_creation_time(runpod: RunPod) -> None:
    created = runpod.provider.create(request(runpod.offers()[0], TAGS.new()))
    assert isinstance(created, Instance)
    assert created.created_at == runpod.account.machines[created.id].created_at


def test_create_in_a_forbidden_pool_is_no_capacity(runpod: RunPod) -> None:
    rental_request = request(runpod.offers()[0], TAGS.new())
    closed_offer = replace(rental_request.offer, id="SECURE//NVIDIA B900")
    assert isinstance(
        runpod.provider.create(replace(rental_request, offer=closed_offer)), NoCapacity
    )
