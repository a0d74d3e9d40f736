"""Fixtures for every implementation of the object store interface."""

import uuid
from collections.abc import Iterator

import pytest

from tests.contract.subjects import StoreSubject, directory_subject, s3_subject
from trackfarm_scheduler.objects import ObjectStore


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
        access = request.getfixturevalue(request.param)
        subject = s3_subject(access, writes_once=request.param != "swift")
        subject.store.check()
        yield subject


@pytest.fixture
def store(store_subject: StoreSubject) -> ObjectStore:
    return store_subject.store


@pytest.fixture
def key() -> str:
    return f"tracks/{uuid.uuid4().hex}/first.mp3"
