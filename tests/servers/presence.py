"""Tests of a program that is not installed are skipped, or fail in CI."""

import os
import re
from typing import TypeVar

import pytest

INSTALL = "sudo bash .ci/install"
_REASON = re.compile(r"Skipped: (.+) is not installed; install it with `(.+)`$")

T = TypeVar("T")


def require(program: T | None, name: str, command: str = INSTALL) -> T:
    """Return the program. If it is None, skip the test and name the command that installs it; where
    CI is set, fail the test: there all must run."""
    if program is not None:
        return program
    message = f"{name} is not installed; install it with `{command}`"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def missing_program(report: pytest.TestReport) -> tuple[str, str] | None:
    """Return the missing program and the command that installs it; None if the test was skipped for
    another reason."""
    match = _REASON.match(report.longrepr[2]) if isinstance(report.longrepr, tuple) else None
    return (match[1], match[2]) if match else None
