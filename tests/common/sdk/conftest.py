"""Fixtures: a small farm over HTTP and the SDK connected to it."""

from collections.abc import Iterator

import pytest

from tests.common.fake_farm.server import API_KEY, serve
from tests.common.fake_farm.state import FarmState
from trackfarm import Farm


@pytest.fixture
def server() -> Iterator[FarmState]:
    with serve(FarmState()) as state:
        yield state


@pytest.fixture
def farm(server: FarmState) -> Iterator[Farm]:
    with Farm(server.url, API_KEY, retry_seconds=5) as farm:
        yield farm
