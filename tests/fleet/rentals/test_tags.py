"""Tags of our machines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackfarm_fleet.rentals.tags import Tags

_farms = st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True)


@given(_farms, _farms)
def test_tags_owns_only_its_own_farms_tags(one: str, other: str) -> None:
    tag = Tags(one).new()
    assert Tags(one).owns(tag)
    assert tag.startswith(Tags(one).prefix)
    assert len(tag) <= 40
    assert Tags(other).owns(tag) == (one == other)
    assert tag.startswith(Tags(other).prefix) == (one == other)


def test_tags_are_unique() -> None:
    assert len({Tags("a").new() for _ in range(1000)}) == 1000


@pytest.mark.parametrize("name", ["", "a-b", "A", "a b", "x" * 21, "ü"])
def test_tags_reject_ambiguous_farm_names(name: str) -> None:
    with pytest.raises(ValueError, match="a farm's name"):
        Tags(name)
