"""What happens to a test whose server is not installed."""

import os
from typing import TypeVar

import pytest

T = TypeVar("T")


def require(found: T | None, what: str) -> T:
    """What was found; else the test is skipped, or fails where CI is set: there all must run."""
    if found is not None:
        return found
    message = f"{what} is not installed (.ci/install installs it)"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)
