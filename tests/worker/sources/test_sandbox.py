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
from tests.worker.sources.hosts import LOOPBACK, Host
from tests.worker.waiting import is_running, wait_until
from trackfarm_worker.sources.protocol import (
    PreparedSource,
    SourceAway,
    SourceLimits,
    SourceOrder,
    SourceRefused,
)
from trackfarm_worker.sources.sandbox import prepare


@pytest.fixture
def ordered(host: Host, tmp_path: Path) -> Callable[..., SourceOrder]:
    def make(
        path: str, limits: SourceLimits | None = None, sha256: str | None = None
    ) -> SourceOrder:
        return SourceOrder(
            url=host.url + path,
            download=tmp_path / "source.in",
            target=tmp_path / "source.npy",
            limits=limits or SourceLimits(),
            sha256=sha256,
            rules=LOOPBACK,
        )

    return make


Ordered = Callable[..., SourceOrder]


def test_a_good_source_is_ready(ordered: Ordered, tmp_path: Path) -> None:
    assert prepare(ordered("good.flac")) == PreparedSource(tmp_path / "source.npy", 144_000)
    assert [path.name for path in tmp_path.iterdir()] == ["source.npy"]


@pytest.mark.parametrize("path", ["to-good", "hiccup"])
def test_a_detour_and_a_hiccup_are_no_hindrance(ordered: Ordered, path: str) -> None:
    assert isinstance(prepare(ordered(path)), PreparedSource)


def test_nobody_there_is_away(ordered: Ordered, tmp_path: Path) -> None:
    answer = prepare(
        SourceOrder(
            url="http://127.0.0.1:1/x",
            download=tmp_path / "a",
            target=tmp_path / "b",
            rules=LOOPBACK,
        )
    )
    assert isinstance(answer, SourceAway)
    assert "could not be fetched" in answer.message


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://", "nothing"])
def test_only_the_web_is_fetched(tmp_path: Path, url: str) -> None:
    download, target = tmp_path / "a", tmp_path / "b"
    order = SourceOrder(url=url, download=download, target=target, rules=LOOPBACK)
    assert isinstance(prepare(order), SourceRefused)


def test_an_upload_is_what_was_uploaded(ordered: Ordered, folder: Path) -> None:
    sha256 = hashlib.sha256((folder / "good.flac").read_bytes()).hexdigest()
    assert isinstance(prepare(ordered("good.flac", sha256=sha256)), PreparedSource)
    answer = prepare(ordered("secret.wav", sha256=sha256))
    assert isinstance(answer, SourceRefused)
    assert "SHA-256" in answer.message


def said_of(process: psutil.Process) -> list[str]:
    """Return the arguments of a process; none for one that has ended but was not reaped."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_the_process_is_held_by_the_kernel_and_knows_no_secrets(
    ordered: Ordered, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inspected while it waits for a server that sends nothing, then cancelled."""
    monkeypatch.setenv("TRACKFARM_WORKER_JOIN_TOKEN", "secret")
    limits = SourceLimits(memory=700_000_000, cpu_seconds=7)
    seen: dict[int, tuple[int, int]] = {}

    def gave_up() -> bool:
        children = psutil.Process().children()  # servers of other tests among them
        for child in (each for each in children if "trackfarm_worker.sources" in said_of(each)):
            memory = child.rlimit(psutil.RLIMIT_AS)[1]
            if memory == limits.memory:
                assert "secret" not in child.environ().values()
                seen[child.pid] = memory, child.rlimit(psutil.RLIMIT_CPU)[0]
        return bool(seen)

    assert prepare(ordered("silent", limits), gave_up) == SourceAway(
        "its download or decoding was cancelled"
    )
    ((pid, caps),) = seen.items()
    assert caps == (limits.memory, limits.cpu_seconds)
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


def test_the_process_ends_with_its_killed_parent(host: Host, tmp_path: Path) -> None:
    host.asked.clear()
    command = [sys.executable, "-c", OWNER, f"{host.url}silent", str(tmp_path)]
    with subprocess.Popen(command) as owner:
        wait_until(lambda: "silent" in host.asked, 30)
        (child,) = psutil.Process(owner.pid).children()
        owner.kill()
    wait_until(lambda: not is_running(child.pid), 10)


def test_a_signed_url_that_has_expired_is_worth_another(ordered: Ordered) -> None:
    """Another claim brings another URL; for a customer's own URL the failure would be permanent."""
    assert isinstance(prepare(ordered("forbidden")), SourceRefused)
    answer = prepare(dataclasses.replace(ordered("forbidden"), is_signed=True))
    assert isinstance(answer, SourceAway)
    assert "expired" in answer.message


def test_too_much_computing_is_ended_by_the_kernel(ordered: Ordered, folder: Path) -> None:
    second = np.asarray(tone(44_100, 1) * 20_000, dtype=np.int16)
    (folder / "long.flac").write_bytes(flac(np.tile(second, (590, 1)), 44_100))
    answer = prepare(ordered("long.flac", SourceLimits(cpu_seconds=1)))
    assert answer == SourceRefused("decoding needs too much CPU time")


def test_without_memory_the_process_ends_and_says_so(ordered: Ordered) -> None:
    answer = prepare(ordered("good.flac", SourceLimits(memory=10_000_000)))
    assert isinstance(answer, SourceRefused)
    assert answer.message
