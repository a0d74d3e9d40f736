"""One worker process per GPU, with stand-ins for workers."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.process import wait_until
from trackfarm_worker.settings import ABANDONED

CREW = """
import sys
from pathlib import Path
from trackfarm_worker.multi_gpu import Crew
crew = Crew(2, name="box", folder=Path(sys.argv[1]), environ={}, rest=0.05,
            command=("sh", "-c", sys.argv[2]))
sys.exit(crew.serve())
"""
SAY = 'echo "$CUDA_VISIBLE_DEVICES $TRACKFARM_WORKER_NAME" >> $TRACKFARM_WORKER_DATA_DIR.log; '


def crew(folder: Path, script: str, *, first: str = "") -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", CREW, str(folder), first + SAY + script])


def said(folder: Path, card: int) -> list[str]:
    log = folder / f"card{card}.log"
    return log.read_text().splitlines() if log.exists() else []


def test_each_card_has_a_worker_of_its_own_and_all_are_told_to_end(tmp_path: Path) -> None:
    box = crew(tmp_path, "while :; do sleep 0.05; done", first="trap 'exit 0' TERM; ")
    wait_until(lambda: all(said(tmp_path, c) for c in (0, 1)), timeout_s=10, what="both run")
    box.send_signal(signal.SIGTERM)
    assert box.wait(10) == 0
    assert [said(tmp_path, card) for card in (0, 1)] == [["0 box-0"], ["1 box-1"]]


@pytest.mark.parametrize(("code", "starts"), [(1, 6), (3, 1)])
def test_one_that_dies_is_started_anew_and_one_that_is_not_wanted_is_not(
    tmp_path: Path, code: int, starts: int
) -> None:
    assert crew(tmp_path, f"exit {code}").wait(20) == code
    assert len(said(tmp_path, 0)) == len(said(tmp_path, 1)) == starts


def test_one_that_dies_is_started_anew_while_another_works(tmp_path: Path) -> None:
    script = '[ "$CUDA_VISIBLE_DEVICES" = 1 ] && exit 1; while :; do sleep 0.05; done'
    box = crew(tmp_path, script, first="trap 'exit 0' TERM; ")
    try:
        wait_until(lambda: len(said(tmp_path, 1)) > 1, timeout_s=10, what="it was started anew")
        assert len(said(tmp_path, 0)) == 1
    finally:
        box.send_signal(signal.SIGTERM)
        assert box.wait(10) == 1


def test_a_card_that_was_killed_does_not_hide_that_the_machine_was_forsaken(
    tmp_path: Path,
) -> None:
    script = '[ "$CUDA_VISIBLE_DEVICES" = 0 ] && kill -9 $$; exit 3'
    assert crew(tmp_path, script).wait(20) == ABANDONED
    assert [len(said(tmp_path, card)) for card in (0, 1)] == [6, 1]
