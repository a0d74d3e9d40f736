"""The farm that most of these tests break, and the selection of tests that run only on request."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.farm import LocalFarm, running_farm
from tests.end_to_end.soak import pytest_collection_modifyitems

__all__ = ["pytest_collection_modifyitems"]

# Slow enough to be caught in the middle of a track.
SLOW = {"step_delay": 0.1}
NAMES = ("one", "two")


@pytest.fixture(scope="package")
def standing_farm(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalFarm]:
    with running_farm(request, tmp_path_factory, workers=NAMES, worker=SLOW) as running:
        yield running


@pytest.fixture
def farm(standing_farm: LocalFarm) -> LocalFarm:
    """Return the shared farm, with all workers running again after the last test."""
    standing_farm.start_workers(*NAMES, **SLOW)
    return standing_farm
