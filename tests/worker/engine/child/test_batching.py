from hypothesis import given
from hypothesis import strategies as st

from trackfarm_worker.engine.child.batching import (
    MAX_PADDING,
    Limit,
    TrackLoad,
    batches,
    padding,
    weight,
)

LOADS = st.lists(
    st.builds(
        TrackLoad,
        seconds=st.floats(1, 600),
        steps=st.sampled_from([8, 50]),
        passes=st.sampled_from([1, 2, 3]),
    ),
    max_size=40,
)


@given(loads=LOADS, tracks=st.integers(1, 16), seconds=st.floats(0, 4_000))
def test_every_track_is_in_one_batch_and_every_batch_within_the_limit(
    loads: list[TrackLoad], tracks: int, seconds: float
) -> None:
    made = batches(loads, Limit(tracks, seconds))
    assert sorted(place for batch in made for place in batch) == list(range(len(loads)))
    for batch in made:
        together = [loads[place] for place in batch]
        assert len(batch) == 1 or weight(together) <= seconds
        assert len(batch) <= tracks
        assert padding(together) <= MAX_PADDING
    assert [min(batch) for batch in made] == sorted(min(batch) for batch in made)


def test_equal_tracks_fill_batches_up_to_the_limit() -> None:
    loads = [TrackLoad(60.0, 8, 1)] * 10
    assert [len(batch) for batch in batches(loads, Limit(100, 240.0))] == [4, 4, 2]
    guided = [TrackLoad(60.0, 8, 2)] * 10
    assert [len(batch) for batch in batches(guided, Limit(100, 240.0))] == [2] * 5


def test_tracks_with_equal_steps_and_passes_go_together_first() -> None:
    loads = [TrackLoad(60.0, steps, passes) for passes in (1, 2) for steps in (8, 50)] * 4
    made = batches(loads, Limit(4, 1e6))
    assert [len({(loads[i].steps, loads[i].passes) for i in batch}) for batch in made] == [1] * 4


def test_guidance_keeps_nobody_of_the_same_length_apart() -> None:
    loads = [
        TrackLoad(seconds, 8, passes) for passes in (1, 2, 3) for seconds in (10.0, 20.0, 40.0)
    ]
    assert batches(loads, Limit(8, 1e6)) == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]


def test_what_is_left_over_is_mixed_rather_than_made_alone() -> None:
    loads = [TrackLoad(60.0, 8, 1), TrackLoad(60.0, 50, 1), TrackLoad(60.0, 8, 2)]
    assert batches(loads, Limit(8, 1e6)) == [[0, 1, 2]]
