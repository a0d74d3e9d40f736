"""Tests of a program that is not installed are skipped, or fail in CI."""

import os
import re
from typing import TypeVar

import pytest

INSTALL = "sudo bash .ci/install"
_REASON = re.compile(r"Skipped: (.+) is not installed; install it with `(.+)`$")

T = TypeVar("T")


def require(found: T | None, what: str, command: str = INSTALL) -> T:
    """Return the program that was found. If there is none, skip the test and name the command that
    installs it; where CI is set, fail the test: there all must run."""
    if found is not None:
        return found
    message = f"{what} is not installed; install it with `{command}`"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def missing_program(report: pytest.TestReport) -> tuple[str, str] | None:
    """Return the program for want of which `require` skipped the test, and the command that installs
    it; None if the test was skipped for another reason."""
    match = _REASON.match(report.longrepr[2]) if isinstance(report.longrepr, tuple) else None
    return (match[1], match[2]) if match else None
