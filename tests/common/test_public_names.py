"""The names that `import trackfarm` exports, its import cost and its types."""

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import assert_type

import pytest

import trackfarm
from trackfarm import AsyncFarm, Farm
from trackfarm.client.async_driver import AsyncDriver
from trackfarm.sdk.job import Job, Track

HEAVY = {"httpx", "pydantic", "tenacity", "fastapi", "sqlmodel", "torch", "typer"}
SDK_ONLY = {"fastapi", "sqlmodel", "torch", "typer", "trackfarm.planning"}


def loaded_by(line: str) -> set[str]:
    command = [sys.executable, "-c", f"{line}; import sys; print(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_public_names_can_be_imported_and_no_others() -> None:
    for name in trackfarm.__all__:
        assert getattr(trackfarm, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Fram'"):
        trackfarm.__getattr__("Fram")


def test_public_names_import_only_what_is_used() -> None:
    assert not HEAVY & loaded_by("import trackfarm")
    assert not SDK_ONLY & loaded_by("from trackfarm import Farm, AsyncFarm, Catalog")


async def types_that_mypy_sees(
    farm: Farm, other: AsyncFarm, job: Job, awaited: Job[AsyncDriver]
) -> None:
    """Check types statically, never called: a method has one type per driver."""
    assert_type(farm.submit("a.csv"), Job)
    assert_type(await other.submit("a.csv"), Job[AsyncDriver])
    assert_type(job.tracks(), Iterator[Track])
    assert_type(awaited.tracks(), AsyncIterator[Track[AsyncDriver]])
