"""Ids match the protocol's format and are unique."""

import pytest
from pydantic import TypeAdapter

from trackfarm.identity import new_id
from trackfarm.protocol.base import Identifier


@pytest.mark.parametrize("kind", ["job", "shard", "lease", "worker"])
def test_new_id_is_a_valid_identifier(kind: str) -> None:
    row_id = new_id(kind)
    assert TypeAdapter(Identifier).validate_python(row_id) == row_id
    assert row_id.startswith(f"{kind}_")


def test_new_id_does_not_repeat() -> None:
    assert len({new_id("job") for _ in range(20_000)}) == 20_000
