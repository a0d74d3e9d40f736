"""Fixtures of the tests of common: a small farm over HTTP."""

from collections.abc import Iterator

import pytest

from tests.common.fake_farm.server import serve
from tests.common.fake_farm.state import FarmState


@pytest.fixture
def farm() -> Iterator[FarmState]:
    with serve(FarmState()) as state:
        yield state
