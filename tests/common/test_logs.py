"""Logs of ours and of the standard library in one form, each event one line on stderr."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import logging, sys, structlog
from trackfarm import logs
logs.configure(sys.argv[1])
structlog.get_logger("ours").info("track_done", track=7, name="Füße")
logging.getLogger("theirs").warning("%s left", "worker")
logging.getLogger("httpx").info("noise")
password = "open " + "sesame"
try:
    1 / 0
except ZeroDivisionError:
    structlog.get_logger("ours").exception("tick_failed")
"""


def said(log_format: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, log_format], check=True, capture_output=True, text=True
    )


def test_json_has_one_object_a_line() -> None:
    run = said("json")
    ours, theirs, failed = map(json.loads, run.stderr.splitlines())
    assert (ours["event"], ours["track"], ours["name"], ours["level"]) == (
        "track_done",
        7,
        "Füße",
        "info",
    )
    assert ours["timestamp"].endswith("Z")
    assert theirs["event"] == "worker left"
    assert "ZeroDivisionError" in json.dumps(failed)
    assert run.stdout == ""


@pytest.mark.parametrize("expected", ["track_done", "track=7", "worker left", "ZeroDivisionError"])
def test_the_console_shows_the_same(expected: str) -> None:
    run = said("console")
    assert expected in run.stderr
    assert "noise" not in run.stderr
    assert "open sesame" not in run.stderr, "a traceback shows no values"
    assert "\x1b[" not in run.stderr
