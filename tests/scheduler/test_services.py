"""Services: the broker URL and the intervals that a worker is given."""

from dataclasses import replace
from typing import Any

from tests.scheduler.api_fixture import build
from tests.scheduler.farm_fixture import LEASE_SECONDS, FarmFixture
from trackfarm_scheduler.services import Services


def services(farm: FarmFixture, **settings: Any) -> Services:
    whole = build(farm, "http://farm.example")
    return replace(whole, settings=whole.settings.model_copy(update=settings))


def test_services_give_each_worker_its_own_broker_user(sqlite_farm: FarmFixture) -> None:
    url = services(sqlite_farm).broker_url_for("worker_0001", "secret")
    assert "worker_0001:secret@127.0.0.1:1" in url


def test_services_share_the_broker_url_without_broker_users(sqlite_farm: FarmFixture) -> None:
    shared = replace(services(sqlite_farm), users=None)
    assert shared.broker_url_for("worker_0001", "secret") == "redis://127.0.0.1:1/0"
    outside = replace(services(sqlite_farm, broker_external_url="redis://b.example"), users=None)
    assert outside.broker_url_for("worker_0001", "secret") == "redis://b.example"


def test_services_slow_the_heartbeats_of_many_workers(sqlite_farm: FarmFixture) -> None:
    few, many = (services(sqlite_farm).intervals(count) for count in (1, 10_000))
    assert few.heartbeat < many.heartbeat <= 5
    assert few.lost_after == many.lost_after == LEASE_SECONDS
