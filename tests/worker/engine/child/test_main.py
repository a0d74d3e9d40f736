"""The engine process as its parent starts it."""

import json
import subprocess
import sys
from pathlib import Path

from tests.worker.engine.engine_fixture import setup
from trackfarm_worker.engine.child.__main__ import main
from trackfarm_worker.engine.child.control import PROTOCOL_ERROR
from trackfarm_worker.engine.protocol import LoadFailed, encode, read_report

COMMAND = [sys.executable, "-P", "-m", main.__module__.removesuffix(".__main__")]


def run(stdin: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(COMMAND, input=stdin, capture_output=True, check=False, timeout=120)


def test_main_exits_with_its_parent() -> None:
    completed = run(b"")
    assert (completed.returncode, completed.stdout) == (0, b"")


def test_main_refuses_anything_but_control_messages() -> None:
    completed = run(json.dumps({"type": "sing"}).encode() + b"\n")
    assert completed.returncode == PROTOCOL_ERROR
    assert b"not a control message" in completed.stderr


def test_main_reports_missing_weights(tmp_path: Path) -> None:
    changes = {"model_set": "acestep-v15-turbo", "model_path": tmp_path}
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(encode(setup(tmp_path).model_copy(update=changes)))
        process.stdin.flush()
        report = read_report(process.stdout.readline())
        assert isinstance(report, LoadFailed)
        assert "model_index.json is missing" in report.message
        assert process.wait(60) == 1
