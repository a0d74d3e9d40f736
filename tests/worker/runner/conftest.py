"""A separate runner for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worker.http_server import site
from tests.worker.runner.bench import Bench
from trackfarm_worker.encoders import EncoderPool


@pytest.fixture(scope="module")
def encoders() -> Iterator[EncoderPool]:
    with EncoderPool(1) as pool:
        yield pool


@pytest.fixture
def bench(tmp_path: Path, encoders: EncoderPool) -> Iterator[Bench]:
    with site() as farm:
        made = Bench(tmp_path, farm, encoders)
        yield made
        made.close()
