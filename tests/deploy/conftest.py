"""Selects tests that run only on request."""

from tests.end_to_end.soak import pytest_collection_modifyitems

__all__ = ["pytest_collection_modifyitems"]
