"""Fixtures for the drop-in API."""

from tests.scheduler.api.conftest import door, served

__all__ = ["door", "served"]
