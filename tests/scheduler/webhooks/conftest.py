"""Webhook dispatcher over a scene, and a receiver."""

from collections.abc import Iterator

import pytest

from tests.scheduler.scene import Scene
from tests.scheduler.webhooks.post import Post
from tests.scheduler.webhooks.receiver import Receiver, receiving


@pytest.fixture
def post(sqlite_scene: Scene) -> Iterator[Post]:
    new_post = Post(sqlite_scene)
    yield new_post
    new_post.deliverer.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as new_receiver:
        yield new_receiver
