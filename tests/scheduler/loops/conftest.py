"""Placer and rescuer over a real Redis."""

from collections.abc import Iterator

import pytest

from tests.scheduler.farm_fixture import FarmFixture
from tests.scheduler.placer_fixture import PlacerFixture
from tests.servers.redis import RedisServer


@pytest.fixture
def loops(sqlite_farm: FarmFixture, redis: RedisServer) -> Iterator[PlacerFixture]:
    new_loops = PlacerFixture(sqlite_farm, redis)
    yield new_loops
    new_loops.close()
