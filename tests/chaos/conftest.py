"""The farm that most of these tests break."""

from collections.abc import Iterator

import pytest

from tests.chaos.slow_workers import SLOW_STEPS, WORKER_NAMES
from tests.end_to_end.farm import LocalFarm, running_farm


@pytest.fixture(scope="package")
def standing_farm(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalFarm]:
    with running_farm(
        request, tmp_path_factory, workers=WORKER_NAMES, worker=SLOW_STEPS
    ) as running:
        yield running


@pytest.fixture
def farm(standing_farm: LocalFarm) -> LocalFarm:
    """Return the shared farm, with all workers running again after the last test."""
    standing_farm.start_workers(*WORKER_NAMES, **SLOW_STEPS)
    return standing_farm
