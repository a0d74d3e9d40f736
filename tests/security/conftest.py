"""The farms under attack: one over TLS with its workers, and one open to the internet."""

import itertools
from collections.abc import Iterator

import httpx
import pytest

from tests.end_to_end.farm import LocalFarm, running_farm
from tests.security.attacked_farm import AttackedFarm, attacked_farm
from tests.security.guarded_farm import GuardedFarm, guarded_farm
from tests.security.limits import BODY_SECONDS, HEAD_SECONDS, SUBMISSION_BYTES
from tests.security.stub_workers import HIGH_PRICE_PER_HOUR, StubWorker
from tests.servers.s3 import S3Access

NUMBERS = itertools.count(1)


@pytest.fixture(scope="package")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedFarm]:
    with guarded_farm(tmp_path_factory.mktemp("guarded")) as farm:
        yield farm


@pytest.fixture(scope="package")
def attacked(swift: S3Access, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AttackedFarm]:
    with attacked_farm(swift, tmp_path_factory.mktemp("attacked")) as attacked:
        yield attacked


@pytest.fixture
def hostile_worker(attacked: AttackedFarm) -> Iterator[StubWorker]:
    """A new hostile worker with a shard: three false reports quarantine a worker."""
    worker = attacked.workers.join(f"hostile-{next(NUMBERS)}", price_per_hour=HIGH_PRICE_PER_HOUR)
    worker.claim_next()
    yield worker
    attacked.workers.deregister(worker)


@pytest.fixture(scope="package")
def farm(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalFarm]:
    """One farm for all tests of the folder, with short timeouts to keep the tests fast."""
    with running_farm(
        request,
        tmp_path_factory,
        head_seconds=HEAD_SECONDS,
        body_seconds=BODY_SECONDS,
        submission_bytes=SUBMISSION_BYTES,
        guess_rate=100_000,
    ) as running:
        yield running


@pytest.fixture(scope="module")
def http(farm: LocalFarm) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=farm.url, timeout=20) as client:
        yield client
