"""Fixtures that run a test with every provider."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.fleet.contract.subjects import (
    Subject,
    by_hand_subject,
    local_subject,
    runpod_subject,
    ssh_subject,
    vast_subject,
)


def _subject(name: str, folder: Path) -> AbstractContextManager[Subject]:
    match name:
        case "runpod":
            return runpod_subject()
        case "vast":
            return vast_subject()
        case "local":
            return local_subject(folder)
        case "shown":
            return by_hand_subject(folder)
    return ssh_subject(folder)


@pytest.fixture(params=["runpod", "vast", "local", "shown", "ssh"])
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    with _subject(request.param, tmp_path) as opened:
        yield opened


@pytest.fixture(params=["runpod", "vast"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    """Only the providers that are reached over a network."""
    with _subject(request.param, tmp_path) as opened:
        yield opened
