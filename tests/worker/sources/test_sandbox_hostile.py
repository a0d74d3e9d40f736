"""Whatever a URL returns, the worker survives and the error is reported."""

import resource
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import av
import pytest

from tests.worker.sources.files import REASONS
from tests.worker.sources.hosts import LOOPBACK, SourceHost
from trackfarm_worker.sources.protocol import (
    PreparedSource,
    SourceLimits,
    SourceOrder,
    SourceRefused,
    SourceResult,
    SourceUnavailable,
)
from trackfarm_worker.sources.sandbox import prepare

# Part of the message by path: permanent failures, then temporary ones.
REFUSED = {
    "endless": "maximum is 100 MB",
    "loop": "redirects more than 5 times",
    "to-file": "protocol",
    "forbidden": "HTTP 403",
    "nowhere": "HTTP 404",
    "no-content": "HTTP 204",
    "claims-200-mb": "200 MB",
    "page": "a web page",
    "gzipped": "not an audio file",
}
UNAVAILABLE = {
    "drip": "longer than 5 s",
    "drip-headers": "longer than 5 s",
    "silent": "",
    "unwell": "HTTP 503",
    "claims-too-much": "could not be fetched",
}
SHORT_LIMITS = SourceLimits(fetch_seconds=5, silent_seconds=1.5)


@dataclass(frozen=True)
class HostileRun:
    results: Mapping[str, SourceResult]
    seconds: Mapping[str, float]
    growth_bytes: int
    files: list[str]


@pytest.fixture(scope="module")
def hostile_run(host: SourceHost, tmp_path_factory: pytest.TempPathFactory) -> HostileRun:
    """Answers to all of them, in order in each of three threads, like a worker."""
    spool = tmp_path_factory.mktemp("spool")
    results: dict[str, SourceResult] = {}
    seconds: dict[str, float] = {}

    def attempt(name: str) -> None:
        started_at = time.monotonic()
        target = spool / f"{name}.npy"
        limits = SourceLimits() if name == "endless" else SHORT_LIMITS
        order = SourceOrder(
            url=host.url + name,
            download=spool / f"{name}.in",
            target=target,
            limits=limits,
            policy=LOOPBACK,
        )
        results[name] = prepare(order)
        seconds[name] = time.monotonic() - started_at

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(attempt, [*REFUSED, *UNAVAILABLE, *REASONS]))
    growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return HostileRun(results, seconds, growth * 1024, [path.name for path in spool.iterdir()])


@pytest.mark.parametrize("name", REASONS)
def test_prepare_refuses_each_hostile_file_with_its_reason(
    hostile_run: HostileRun, name: str
) -> None:
    result = hostile_run.results[name]
    assert isinstance(result, SourceRefused), result
    assert REASONS[name] in result.message


@pytest.mark.parametrize("name", REFUSED)
def test_prepare_refuses_permanent_failures(hostile_run: HostileRun, name: str) -> None:
    result = hostile_run.results[name]
    assert isinstance(result, SourceRefused), result
    assert REFUSED[name] in result.message


@pytest.mark.parametrize("name", UNAVAILABLE)
def test_prepare_reports_temporary_failures_as_unavailable(
    hostile_run: HostileRun, name: str
) -> None:
    result = hostile_run.results[name]
    assert isinstance(result, SourceUnavailable), result
    assert UNAVAILABLE[name] in result.message
    assert not result.is_disk_full


def test_hostile_files_all_exist(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} >= set(REASONS)


def test_prepare_takes_seconds_and_no_memory_and_leaves_no_file(hostile_run: HostileRun) -> None:
    assert max(hostile_run.seconds.values()) < 20
    assert hostile_run.growth_bytes < 60_000_000, "100 MB came in, and 50 MB were folded up"
    assert hostile_run.files == []


def test_ffmpeg_follows_a_list_of_local_files_by_default(folder: Path) -> None:
    """This is why formats are whitelisted."""
    with av.open(folder / "list.ffconcat", options={"safe": "0"}) as container:
        assert container.streams.audio


def test_prepare_does_not_read_the_body_of_a_redirect(host: SourceHost, tmp_path: Path) -> None:
    order = SourceOrder(
        url=f"{host.url}endless-redirect",
        download=tmp_path / "in",
        target=tmp_path / "out.npy",
        limits=SHORT_LIMITS,
        policy=LOOPBACK,
    )
    assert isinstance(prepare(order), PreparedSource)


@pytest.mark.parametrize("name", ["good.flac", "secret.wav"])
def test_prepare_does_not_reach_the_private_network(
    host: SourceHost, tmp_path: Path, name: str
) -> None:
    host.requests.clear()
    order = SourceOrder(
        url=host.url + name,
        download=tmp_path / "in",
        target=tmp_path / "out.npy",
        limits=SHORT_LIMITS,
        policy=replace(LOOPBACK, networks=()),
    )
    result = prepare(order)
    assert isinstance(result, SourceRefused)
    assert "127.0.0.1 is not a public address" in result.message
    assert host.requests == []
