"""Every implementation of a port, one after the other."""

from collections.abc import Iterator

import pytest

from tests.contract.subjects import StoreSubject, directory_subject, s3_subject


@pytest.fixture(scope="module", params=["directory", "swift", "rgw"])
def store_subject(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StoreSubject]:
    """A store that has passed its own `check`."""
    if request.param == "directory":
        with directory_subject(tmp_path_factory.mktemp("objects")) as subject:
            subject.store.check()
            yield subject
    else:
        subject = s3_subject(request.getfixturevalue(request.param))
        subject.store.check()
        yield subject
