"""One farm over TLS for all of these tests."""

from collections.abc import Iterator

import pytest

from tests.security.guarded_farm import GuardedFarm, guarded_farm


@pytest.fixture(scope="package")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedFarm]:
    with guarded_farm(tmp_path_factory.mktemp("guarded")) as farm:
        yield farm
