"""Fixtures for the drop-in API."""

from tests.scheduler.api.conftest import api, served

__all__ = ["api", "served"]
