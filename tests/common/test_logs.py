"""Our logs and the standard library's in one format, one line per event on stderr."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import logging, sys, structlog
from trackfarm import logs
logs.configure(*sys.argv[1:])
structlog.get_logger("trackfarm").debug("step")
structlog.get_logger("ours").info("track_done", track=7, name="Füße")
logging.getLogger("theirs").warning("%s left", "worker")
logging.getLogger("httpx").info("noise")
logging.getLogger("theirs").debug("PUT /tracks?X-Amz-Signature=0123")
password = "open " + "sesame"
try:
    1 / 0
except ZeroDivisionError:
    structlog.get_logger("ours").exception("tick_failed")
"""


def log_output(*arguments: str, program: str = PROGRAM) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True)


def test_logs_in_json_have_one_object_per_line() -> None:
    run = log_output("json")
    ours, other_logger, failed = map(json.loads, run.stderr.splitlines())
    assert (ours["event"], ours["track"], ours["name"], ours["level"]) == (
        "track_done",
        7,
        "Füße",
        "info",
    )
    assert ours["timestamp"].endswith("Z")
    assert other_logger["event"] == "worker left"
    assert "ZeroDivisionError" in json.dumps(failed)
    assert run.stdout == ""


@pytest.mark.parametrize("expected", ["track_done", "track=7", "worker left", "ZeroDivisionError"])
def test_logs_on_the_console_have_the_same_events(expected: str) -> None:
    run = log_output("console")
    assert expected in run.stderr
    assert "noise" not in run.stderr
    assert "open sesame" not in run.stderr, "a traceback shows no values"
    assert "\x1b[" not in run.stderr


@pytest.mark.parametrize(("level", "steps"), [("debug", 1), ("info", 0)])
def test_logs_show_our_debug_lines_and_no_others(level: str, steps: int) -> None:
    run = log_output("console", level)
    assert run.stderr.count("step") == steps
    assert "Signature" not in run.stderr


INJECTION = """
import logging, sys, structlog
from trackfarm import logs
logs.configure(sys.argv[1])
evil = "\\x1b]0;owned\\x07\\x1b[2Jgpu\\n2026-01-01 [info] all_is_well\\u202e"
structlog.get_logger("ours").warning("worker_joined", name=evil)
logging.getLogger("theirs").warning("lost %s", evil)
try:
    raise ValueError(evil)
except ValueError:
    structlog.get_logger("ours").exception("failed")
"""


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_logs_escape_control_characters_and_line_breaks(log_format: str) -> None:
    run = log_output(log_format, program=INJECTION)
    assert "worker_joined" in run.stderr
    assert not {"\x1b", "\x07", "\u202e"} & set(run.stderr)
    joined, lost, *_ = run.stderr.splitlines()
    assert "all_is_well" in joined
    assert "all_is_well" in lost
