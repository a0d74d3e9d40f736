"""Limits on request bodies."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackfarm_scheduler.api.request_body import (
    MAX_DEPTH,
    MAX_QUOTES,
    is_stream,
    json_problem,
    max_body_bytes,
    max_quotes,
    nesting_depth,
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('[]{}"\\ab'),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text('[{"\\'), inner, max_size=3)
    ),
    max_leaves=15,
)


def really_deep(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(really_deep, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(really_deep, value), default=0)
    return 0


@given(VALUES)
def test_nesting_depth_is_that_of_the_value(value: object) -> None:
    assert nesting_depth(json.dumps(value).encode()) == really_deep(value)


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":['])
def test_deep_body_is_refused_and_a_wide_one_is_not(opening: bytes) -> None:
    assert "deeper" in (json_problem(opening * (MAX_DEPTH + 1)) or "")
    assert json_problem(json.dumps([{"a": [1]}] * 1_000).encode()) is None
    assert json_problem(b'"' + b"[" * 1_000 + b'"') is None


def test_nul_character_is_refused() -> None:
    assert "NUL" in (json_problem(b'{"name":"a\\u0000b"}') or "")


def test_body_with_too_many_names_is_refused() -> None:
    """Listing an error for each of a million names took minutes."""
    wide = json.dumps({f"n{n}": n for n in range(MAX_QUOTES // 2)}).encode()
    assert json_problem(wide) is None
    assert "names" in (json_problem(wide[:-1] + b', "one": 1}') or "")
    assert json_problem(json.dumps('"' * MAX_QUOTES).encode()) is None, (
        "inside a string they cost nothing"
    )
    assert max_quotes("/api/v1/plans") > max_quotes("/worker/v1/shards/x/report") == MAX_QUOTES


def test_paths_have_their_limits() -> None:
    assert is_stream("POST", "/api/v1/jobs")
    assert is_stream("PUT", "/objects/a")
    assert not is_stream("POST", "/api/v1/jobs/x/pause")
    paths = ("/worker/v1/register", "/", "/worker/v1/shards/x/report", "/api/v1/plans")
    limits = [max_body_bytes(path) for path in paths]
    assert limits == sorted(set(limits))
    assert max_body_bytes("/worker/v1/heartbeat") == limits[0]
