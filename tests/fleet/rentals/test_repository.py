"""Rentals of a round, stored in a real scheduler."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.fleet.rental_builders import TAG, an_instance
from tests.scheduler.api_fixture import API_KEY, ApiFixture
from trackfarm.client import RequestRefused
from trackfarm.protocol.fleet import PriceChange, RentalPlan, RentalState
from trackfarm_fleet.providers.base import InstanceState
from trackfarm_fleet.rentals.repository import RentalRepository
from trackfarm_fleet.rentals.state_machine import after_create
from trackfarm_fleet.scheduler_client import FleetClient, is_stale

PLAN = RentalPlan(
    tag=TAG,
    provider="vast",
    gpu="RTX 4090",
    gpus=1,
    vram=24,
    model_set="tiny",
    price_per_hour=0.4,
    intended_at=100,
)


@pytest.fixture
def client(api: ApiFixture) -> Iterator[FleetClient]:
    with FleetClient(api.url, API_KEY, retry_seconds=0) as client:
        yield client


@pytest.fixture
def repository(client: FleetClient) -> RentalRepository:
    return RentalRepository(client, client.acquire_lease("one", 60).epoch, [])


def test_create_intent_stores_the_rental_and_returns_a_token(
    repository: RentalRepository, client: FleetClient
) -> None:
    token = repository.create_intent(PLAN)
    assert token.get_secret_value()
    (stored,) = client.rentals(ended_since=0)
    assert repository.open() == [stored]
    assert repository.record(TAG).state is RentalState.INTENDED


def test_write_stores_a_change_and_skips_an_unchanged_record(
    repository: RentalRepository, client: FleetClient
) -> None:
    repository.create_intent(PLAN)
    instance = an_instance(InstanceState.STARTING, created_at=110.0)
    record = repository.write(
        after_create(repository.record(TAG), instance, 111.0), at=111.0, bid=0.3
    )
    assert (record.state, record.provider_id) == (RentalState.CREATED, instance.id)
    (stored,) = client.rentals(ended_since=0)
    assert stored.status.bid == 0.3
    assert stored.status.prices == [PriceChange(at=110, price_per_hour=0.4)]
    assert repository.write(record, at=120.0) == record
    assert client.rentals(ended_since=0) == [stored], "the bid stays, and no version is spent"
    repository.write(record, at=130.0, extra=0.5, charged=1.5)
    (charged,) = client.rentals(ended_since=0)
    assert (charged.status.extra, charged.status.charged) == (0.5, 1.5)


def test_write_of_an_outdated_rental_is_refused(
    repository: RentalRepository, client: FleetClient
) -> None:
    repository.create_intent(PLAN)
    epoch = client.acquire_lease("one", 60).epoch
    outdated = RentalRepository(client, epoch, client.rentals(ended_since=0))
    record = after_create(repository.record(TAG), an_instance(created_at=110.0), 111.0)
    repository.write(record, at=111.0)
    with pytest.raises(RequestRefused) as refused:
        outdated.write(replace(record, provider_id="8"), at=112.0)
    assert is_stale(refused.value)
