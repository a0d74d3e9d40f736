"""Source process: its limits, and that it always ends."""

import dataclasses
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.worker.sources.files import flac, tone
from tests.worker.sources.hosts import LOOPBACK, SourceHost
from tests.worker.waiting import is_running, wait_until
from trackfarm_worker.sources.protocol import (
    PreparedSource,
    SourceLimits,
    SourceOrder,
    SourceRefused,
    SourceUnavailable,
)
from trackfarm_worker.sources.sandbox import prepare


@pytest.fixture
def make_order(host: SourceHost, tmp_path: Path) -> Callable[..., SourceOrder]:
    def make(
        path: str, limits: SourceLimits | None = None, sha256: str | None = None
    ) -> SourceOrder:
        return SourceOrder(
            url=host.url + path,
            download=tmp_path / "source.in",
            target=tmp_path / "source.npy",
            limits=limits or SourceLimits(),
            sha256=sha256,
            policy=LOOPBACK,
        )

    return make


OrderFactory = Callable[..., SourceOrder]


def test_prepare_decodes_a_good_source(make_order: OrderFactory, tmp_path: Path) -> None:
    assert prepare(make_order("good.flac")) == PreparedSource(tmp_path / "source.npy", 144_000)
    assert [path.name for path in tmp_path.iterdir()] == ["source.npy"]


@pytest.mark.parametrize("path", ["to-good", "hiccup"])
def test_prepare_follows_redirects_and_retries(make_order: OrderFactory, path: str) -> None:
    assert isinstance(prepare(make_order(path)), PreparedSource)


def test_prepare_without_a_server_is_unavailable(make_order: OrderFactory, tmp_path: Path) -> None:
    result = prepare(
        SourceOrder(
            url="http://127.0.0.1:1/x",
            download=tmp_path / "a",
            target=tmp_path / "b",
            policy=LOOPBACK,
        )
    )
    assert isinstance(result, SourceUnavailable)
    assert "could not be fetched" in result.message


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://", "nothing"])
def test_prepare_refuses_other_urls_than_http(tmp_path: Path, url: str) -> None:
    download, target = tmp_path / "a", tmp_path / "b"
    order = SourceOrder(url=url, download=download, target=target, policy=LOOPBACK)
    assert isinstance(prepare(order), SourceRefused)


def test_prepare_checks_the_digest_of_an_upload(make_order: OrderFactory, folder: Path) -> None:
    sha256 = hashlib.sha256((folder / "good.flac").read_bytes()).hexdigest()
    assert isinstance(prepare(make_order("good.flac", sha256=sha256)), PreparedSource)
    result = prepare(make_order("secret.wav", sha256=sha256))
    assert isinstance(result, SourceRefused)
    assert "SHA-256" in result.message


def arguments_of(process: psutil.Process) -> list[str]:
    """Return the arguments of a process; none for one that has ended but was not reaped."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_process_has_kernel_limits_and_no_secrets(
    make_order: OrderFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inspected while it waits for a server that sends nothing, then cancelled."""
    monkeypatch.setenv("TRACKFARM_WORKER_JOIN_TOKEN", "secret")
    limits = SourceLimits(memory_bytes=700_000_000, cpu_seconds=7)
    limits_by_pid: dict[int, tuple[int, int]] = {}

    def is_cancelled() -> bool:
        children = psutil.Process().children()  # servers of other tests among them
        for child in (
            each for each in children if "trackfarm_worker.sources" in arguments_of(each)
        ):
            memory = child.rlimit(psutil.RLIMIT_AS)[1]
            if memory == limits.memory_bytes:
                assert "secret" not in child.environ().values()
                limits_by_pid[child.pid] = memory, child.rlimit(psutil.RLIMIT_CPU)[0]
        return bool(limits_by_pid)

    assert prepare(make_order("silent", limits), is_cancelled) == SourceUnavailable(
        "its download or decoding was cancelled"
    )
    ((pid, caps),) = limits_by_pid.items()
    assert caps == (limits.memory_bytes, limits.cpu_seconds)
    assert not os.path.exists(f"/proc/{pid}")


OWNER = """
import sys
from pathlib import Path
from trackfarm_worker.sources.protocol import SourceOrder
from trackfarm_worker.sources.sandbox import prepare

url, folder = sys.argv[1], Path(sys.argv[2])
download, target = folder / "in", folder / "out.npy"
prepare(SourceOrder(url=url, download=download, target=target, is_signed=True))
"""


def test_process_ends_with_its_killed_parent(host: SourceHost, tmp_path: Path) -> None:
    host.requests.clear()
    command = [sys.executable, "-c", OWNER, f"{host.url}silent", str(tmp_path)]
    with subprocess.Popen(command) as owner:
        wait_until(lambda: "silent" in host.requests, 30)
        (child,) = psutil.Process(owner.pid).children()
        owner.kill()
    wait_until(lambda: not is_running(child.pid), 10)


def test_prepare_with_an_expired_signed_url_is_unavailable(make_order: OrderFactory) -> None:
    """Another claim brings another URL; for a customer's own URL the failure would be permanent."""
    assert isinstance(prepare(make_order("forbidden")), SourceRefused)
    result = prepare(dataclasses.replace(make_order("forbidden"), is_signed=True))
    assert isinstance(result, SourceUnavailable)
    assert "expired" in result.message


def test_process_is_ended_when_it_needs_too_much_cpu(
    make_order: OrderFactory, folder: Path
) -> None:
    second = np.asarray(tone(44_100, 1) * 20_000, dtype=np.int16)
    (folder / "long.flac").write_bytes(flac(np.tile(second, (590, 1)), 44_100))
    result = prepare(make_order("long.flac", SourceLimits(cpu_seconds=1)))
    assert result == SourceRefused("decoding needs too much CPU time")


def test_process_without_memory_refuses_the_source(make_order: OrderFactory) -> None:
    result = prepare(make_order("good.flac", SourceLimits(memory_bytes=10_000_000)))
    assert isinstance(result, SourceRefused)
    assert result.message
