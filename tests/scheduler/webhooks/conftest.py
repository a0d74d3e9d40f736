"""Webhook dispatcher over a farm fixture, and a receiver."""

from collections.abc import Iterator

import pytest

from tests.scheduler.farm_fixture import FarmFixture
from tests.scheduler.webhooks.dispatcher_fixture import WebhookFixture
from tests.scheduler.webhooks.receiver import Receiver, receiving


@pytest.fixture
def webhooks(sqlite_farm: FarmFixture) -> Iterator[WebhookFixture]:
    new_fixture = WebhookFixture(sqlite_farm)
    yield new_fixture
    new_fixture.dispatcher.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as new_receiver:
        yield new_receiver
