"""One farm over TLS for all of these tests."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.soak import pytest_collection_modifyitems
from tests.security.guarded_farm import GuardedFarm, guarded_farm

__all__ = ["pytest_collection_modifyitems"]


@pytest.fixture(scope="package")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedFarm]:
    with guarded_farm(tmp_path_factory.mktemp("guarded")) as farm:
        yield farm
