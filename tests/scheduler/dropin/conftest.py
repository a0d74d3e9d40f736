"""The doors of the drop-in, asked as its clients ask."""

from tests.scheduler.api.conftest import door, served

__all__ = ["door", "served"]
