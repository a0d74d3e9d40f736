"""One worker process per GPU, with stand-ins for workers."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.process import wait_until
from trackfarm_worker.settings import ABANDONED

GROUP = """
import sys
from pathlib import Path
from trackfarm_worker.multi_gpu import WorkerGroup
group = WorkerGroup(2, name="box", folder=Path(sys.argv[1]), environ={}, restart_seconds=0.05,
            command=("sh", "-c", sys.argv[2]))
sys.exit(group.serve())
"""
LOG_START = (
    'echo "$CUDA_VISIBLE_DEVICES $TRACKFARM_WORKER_NAME" >> $TRACKFARM_WORKER_DATA_DIR.log; '
)


def start_group(folder: Path, script: str, *, first: str = "") -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", GROUP, str(folder), first + LOG_START + script])


def starts_of(folder: Path, card: int) -> list[str]:
    log = folder / f"card{card}.log"
    return log.read_text().splitlines() if log.exists() else []


def test_group_starts_one_worker_per_gpu_and_stops_all(tmp_path: Path) -> None:
    group = start_group(tmp_path, "while :; do sleep 0.05; done", first="trap 'exit 0' TERM; ")
    wait_until(lambda: all(starts_of(tmp_path, c) for c in (0, 1)), timeout_s=10, what="both run")
    group.send_signal(signal.SIGTERM)
    assert group.wait(10) == 0
    assert [starts_of(tmp_path, card) for card in (0, 1)] == [["0 box-0"], ["1 box-1"]]


@pytest.mark.parametrize(("code", "starts"), [(1, 6), (3, 1)])
def test_group_restarts_crashed_workers_but_not_abandoned_ones(
    tmp_path: Path, code: int, starts: int
) -> None:
    assert start_group(tmp_path, f"exit {code}").wait(20) == code
    assert len(starts_of(tmp_path, 0)) == len(starts_of(tmp_path, 1)) == starts


def test_group_restarts_a_worker_while_another_works(tmp_path: Path) -> None:
    script = '[ "$CUDA_VISIBLE_DEVICES" = 1 ] && exit 1; while :; do sleep 0.05; done'
    group = start_group(tmp_path, script, first="trap 'exit 0' TERM; ")
    try:
        wait_until(lambda: len(starts_of(tmp_path, 1)) > 1, timeout_s=10, what="it was restarted")
        assert len(starts_of(tmp_path, 0)) == 1
    finally:
        group.send_signal(signal.SIGTERM)
        assert group.wait(10) == 1


def test_group_reports_an_abandoned_worker_although_another_crashed(
    tmp_path: Path,
) -> None:
    script = '[ "$CUDA_VISIBLE_DEVICES" = 0 ] && kill -9 $$; exit 3'
    assert start_group(tmp_path, script).wait(20) == ABANDONED
    assert [len(starts_of(tmp_path, card)) for card in (0, 1)] == [6, 1]


def test_workers_of_a_killed_group_are_told_to_stop(tmp_path: Path) -> None:
    script = "while :; do sleep 0.05; done"
    first = f"trap 'touch {tmp_path}/$CUDA_VISIBLE_DEVICES.stopped; exit 0' TERM; "
    group = start_group(tmp_path, script, first=first)
    wait_until(lambda: all(starts_of(tmp_path, c) for c in (0, 1)), timeout_s=10, what="both run")
    group.kill()
    group.wait(10)
    stopped = [tmp_path / f"{card}.stopped" for card in (0, 1)]
    wait_until(lambda: all(path.exists() for path in stopped), timeout_s=10, what="both stopped")
