"""A scheduler for the fleet's own tests, as the API's tests have it."""

from tests.scheduler.api.conftest import door, served
from tests.scheduler.conftest import sqlite_farm, sqlite_scene, sqlite_template

__all__ = ["door", "served", "sqlite_farm", "sqlite_scene", "sqlite_template"]
