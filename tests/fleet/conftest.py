"""A scheduler for the fleet tests, with the fixtures of the API tests."""

from tests.end_to_end.soak import pytest_collection_modifyitems
from tests.scheduler.api.conftest import api, served
from tests.scheduler.conftest import sqlite_database, sqlite_farm, sqlite_template

__all__ = [
    "api",
    "pytest_collection_modifyitems",
    "served",
    "sqlite_database",
    "sqlite_farm",
    "sqlite_template",
]
