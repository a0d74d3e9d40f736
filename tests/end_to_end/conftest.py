"""Hook that skips soak tests unless they are selected."""

from tests.end_to_end.soak import pytest_collection_modifyitems

__all__ = ["pytest_collection_modifyitems"]
