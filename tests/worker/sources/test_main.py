"""The source process as the sandbox starts it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.worker.sources.hosts import LOOPBACK, SourceHost
from trackfarm_worker.sources.__main__ import ORPHANED, main
from trackfarm_worker.sources.protocol import PreparedSource, SourceOrder, order_line, read_result


@pytest.mark.parametrize("is_orphan", [False, True])
def test_main_prepares_a_source_unless_its_parent_is_gone(
    host: SourceHost, tmp_path: Path, is_orphan: bool
) -> None:
    order = SourceOrder(
        url=f"{host.url}good.flac",
        download=tmp_path / "in",
        target=tmp_path / "out.npy",
        policy=LOOPBACK,
        parent=1 if is_orphan else os.getpid(),
    )
    completed = subprocess.run(
        [sys.executable, "-P", "-m", main.__module__.removesuffix(".__main__")],
        input=order_line(order) + "\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if is_orphan:
        assert (completed.returncode, completed.stdout) == (ORPHANED, "")
    else:
        assert completed.returncode == 0, completed.stderr
        assert read_result(completed.stdout) == PreparedSource(tmp_path / "out.npy", 144_000)
    assert not (tmp_path / "in").exists()
