"""Real servers for tests, each started once per session and only when a test asks for it."""

import gc
import os
import signal
from collections import Counter
from collections.abc import Iterator

import pytest
from fastapi.dependencies import models as dependencies
from hypothesis import settings

from tests.end_to_end.farm import LocalFarm, running_farm
from tests.servers.postgres import PostgresServer, postgres_binaries, postgres_server
from tests.servers.presence import missing_program, require
from tests.servers.redis import RedisServer, any_redis, redis_server
from tests.servers.rgw import rgw_programs, rgw_server
from tests.servers.s3 import S3Access
from tests.servers.swift import swift_binaries, swift_server

# `make soak` takes hypothesis's own number, which is `default`.
settings.register_profile("quick", max_examples=25, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

# Fixtures for tests of the API, wherever they are.
pytest_plugins = ["tests.scheduler.sqlite_farm", "tests.scheduler.api_fixture"]

_CACHES = [f for f in vars(dependencies).values() if hasattr(f, "cache_clear")]
GARBAGE_THRESHOLD = 50_000  # new objects between two collections; usually 700


def pytest_configure() -> None:
    # A shell's background job ignores Ctrl-C, and would have the processes of the tests ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Several test processes share few cores; with a thread for each core in each of them, torch
    # spends most of its time waiting. Set before anything imports torch.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip soak tests unless `-m` names their mark."""
    if "soak" in config.option.markexpr:
        return
    for item in items:
        if item.get_closest_marker("soak"):
            item.add_marker(pytest.mark.skip(reason="takes minutes: select it with -m soak"))


def pytest_collection_finish() -> None:
    """Exempt the imported modules from garbage collection, which takes a good part of the time."""
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)


def pytest_runtest_teardown() -> None:
    """Empty FastAPI's caches, which keep every application of the tests alive: after thousands of
    them, garbage collection stopped the process for seconds."""
    for cache in _CACHES:
        cache.cache_clear()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the programs that skipped tests need, and the command that installs them."""
    reports = terminalreporter.stats.get("skipped", [])
    skipped = Counter(missing for report in reports if (missing := missing_program(report)))
    for command in sorted({command for _, command in skipped}):
        tests = [f"{name} ({n})" for (name, by), n in sorted(skipped.items()) if by == command]
        terminalreporter.section("tests skipped because a program is not installed")
        terminalreporter.line(f"{', '.join(tests)}: install with `{command}`")


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """A Redis server for one test, which may kill and empty it."""
    with redis_server(require(any_redis(), "a Redis server")) as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A cluster shared by the tests: each creates its own database, and none stops the cluster."""
    with postgres_server(require(postgres_binaries(), "PostgreSQL")) as server:
        yield server


@pytest.fixture(scope="session")
def swift() -> Iterator[S3Access]:
    """A shared OpenStack Swift with its S3 interface."""
    with swift_server(
        require(swift_binaries(), "OpenStack Swift", "make .venv-swift/.ready")
    ) as access:
        yield access


@pytest.fixture(scope="session")
def rgw() -> Iterator[S3Access]:
    """A shared Ceph RADOS Gateway; takes 14 s to start."""
    require(rgw_programs(), "Ceph's RADOS Gateway")
    with rgw_server() as access:
        yield access


@pytest.fixture(scope="session")
def shared_farm(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalFarm]:
    """Run a farm of one worker that may fetch from this machine; tests share it with their jobs."""
    near = {"source_networks": '["127.0.0.0/8"]', "source_ports": "[]"}
    with running_farm(request, tmp_path_factory, workers=("one",), worker=near) as running:
        yield running
