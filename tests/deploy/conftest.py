"""Which of these tests run only when asked for."""

from tests.end_to_end.soak import pytest_collection_modifyitems

__all__ = ["pytest_collection_modifyitems"]
