"""A deliverer over a scene, and somebody who receives."""

from collections.abc import Iterator

import pytest

from tests.scheduler.scene import Scene
from tests.scheduler.webhooks.post import Post
from tests.scheduler.webhooks.receiver import Receiver, receiving


@pytest.fixture
def post(sqlite_scene: Scene) -> Iterator[Post]:
    made = Post(sqlite_scene)
    yield made
    made.deliverer.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made
