"""An encoder pool for each module, and a shard runner for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.scripted_http import scripted_server
from tests.worker.runner_fixture import RunnerFixture
from trackfarm_worker.encoder_pool import EncoderPool


@pytest.fixture(scope="module")
def encoders() -> Iterator[EncoderPool]:
    with EncoderPool(1) as pool:
        yield pool


@pytest.fixture
def runner(tmp_path: Path, encoders: EncoderPool) -> Iterator[RunnerFixture]:
    with scripted_server() as farm:
        fixture = RunnerFixture(tmp_path, farm, encoders)
        yield fixture
        fixture.close()
