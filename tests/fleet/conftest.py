"""A scheduler for the fleet tests, with the fixtures of the API tests."""

from tests.end_to_end.soak import pytest_collection_modifyitems
from tests.scheduler.api.conftest import door, served
from tests.scheduler.conftest import sqlite_farm, sqlite_scene, sqlite_template

__all__ = [
    "door",
    "pytest_collection_modifyitems",
    "served",
    "sqlite_farm",
    "sqlite_scene",
    "sqlite_template",
]
