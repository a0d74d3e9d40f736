"""Webhook dispatcher over a scene, and a receiver."""

from collections.abc import Iterator

import pytest

from tests.scheduler.farm_fixture import FarmFixture
from tests.scheduler.webhooks.dispatcher_fixture import WebhookFixture
from tests.scheduler.webhooks.receiver import Receiver, receiving


@pytest.fixture
def post(sqlite_scene: FarmFixture) -> Iterator[WebhookFixture]:
    new_post = WebhookFixture(sqlite_scene)
    yield new_post
    new_post.deliverer.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as new_receiver:
        yield new_receiver
