"""Keys and seeds are permanent: a change here orphans every finished track."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackfarm.catalog import Brief
from trackfarm.identity import next_seeds, seed_of, track_key

FACTS = {
    "owner": "operator",
    "catalog": "spa",
    "brief": Brief(prompt="calm piano, Übung", duration=60, bpm=70).canonical(),
    "occurrence": 0,
    "variation": 0,
    "model_set": "tiny@1",
}
GOLDEN_BRIEF = (
    '{"audio_cover_strength":1,"audio_format":"mp3","bpm":70,"duration":60,"lyrics":"",'
    '"prompt":"calm piano, Übung","repainting_start":0,"task_type":"text2music",'
    '"vocal_language":"unknown"}'
)
keys = st.text("0123456789abcdef", min_size=32, max_size=32)


def key(**changes: object) -> str:
    return track_key(**(FACTS | changes))  # type: ignore[arg-type]


def test_track_key_has_golden_values() -> None:
    assert FACTS["brief"] == GOLDEN_BRIEF
    assert key() == "79abb0353575c1ac8b135b5682a3ad40"
    assert seed_of("0" * 32, 0, brief_seed=None, variation=0) == 2_283_655_641
    assert seed_of("0" * 32, 1, brief_seed=None, variation=0) == 3_976_806_048


@pytest.mark.parametrize(
    "change",
    [
        {"owner": "other"},
        {"catalog": "gym"},
        {"brief": "{}"},
        {"occurrence": 1},
        {"variation": 1},
        {"model_set": "tiny@2"},
        {"occurrence": 10, "variation": 1},
        {"occurrence": 1, "variation": 10},
    ],
)
def test_track_key_depends_on_every_part(change: dict[str, object]) -> None:
    assert key(**change) != key()


def test_track_key_separates_its_parts() -> None:
    assert key(owner="a", catalog="bc") != key(owner="ab", catalog="c")
    assert key(owner='a","b', catalog="c") != key(owner="a", catalog='b","c')
    assert key(occurrence=1, variation=11) != key(occurrence=11, variation=1)


@given(keys, st.integers(0, 10_000), st.none() | st.integers(0, 2**32 - 1), st.integers(0, 999))
def test_seed_of_is_in_range_and_stable(
    track: str, tries: int, given_seed: int | None, variation: int
) -> None:
    seed = seed_of(track, tries, brief_seed=given_seed, variation=variation)
    assert 0 <= seed < 2**32
    assert seed == seed_of(track, tries, brief_seed=given_seed, variation=variation)


@given(st.integers(0, 2**32 - 1))
def test_seed_of_keeps_a_given_seed_for_the_first_try(seed: int) -> None:
    assert seed_of("k", 0, brief_seed=seed, variation=0) == seed
    steps = {seed_of("k", t, brief_seed=seed, variation=v) for t in range(5) for v in range(5)}
    assert len(steps) == 25


def test_seed_of_fills_the_range() -> None:
    """The mean is near the middle and seeds are unique, as 32 bits of a good digest are."""
    seeds = [seed_of(f"{i:032x}", 0, brief_seed=None, variation=0) for i in range(4_000)]
    assert len(set(seeds)) > 3_990
    assert sum(seeds) / len(seeds) == pytest.approx(2**31, rel=0.05)


@given(keys, st.integers(0, 20))
def test_next_seeds_are_the_seeds_of_the_next_tries(track: str, number: int) -> None:
    seeds = [seed_of(track, n, brief_seed=None, variation=0) for n in range(number + 3)]
    following = next_seeds(track, seeds[number], tries=number + 1, brief_seed=None)
    assert following == tuple(seeds[number + 1 :])


def test_next_seeds_are_empty_for_a_given_or_foreign_seed() -> None:
    assert next_seeds("k", 7, tries=1, brief_seed=7) == ()
    assert next_seeds("k", 7, tries=3, brief_seed=None) == ()
    later = seed_of("k", 3, brief_seed=None, variation=0)
    assert next_seeds("k", later, tries=3, brief_seed=None) == ()
