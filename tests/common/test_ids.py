"""Ids fit the wire's own form and do not repeat."""

import pytest
from pydantic import TypeAdapter

from trackfarm.ids import new_id
from trackfarm.wire import Identifier


@pytest.mark.parametrize("kind", ["job", "shard", "lease", "worker"])
def test_ids_are_what_the_wire_takes(kind: str) -> None:
    made = new_id(kind)
    assert TypeAdapter(Identifier).validate_python(made) == made
    assert made.startswith(f"{kind}_")


def test_ids_do_not_repeat() -> None:
    assert len({new_id("job") for _ in range(20_000)}) == 20_000
