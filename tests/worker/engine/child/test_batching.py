from hypothesis import given
from hypothesis import strategies as st

from trackfarm_worker.engine.child.batching import (
    MAX_PADDING,
    BatchLimit,
    TrackLoad,
    batches,
    padding,
    pass_seconds,
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
def test_batches_hold_every_track_once_and_stay_within_the_limit(
    loads: list[TrackLoad], tracks: int, seconds: float
) -> None:
    groups = batches(loads, BatchLimit(tracks, seconds))
    assert sorted(position for batch in groups for position in batch) == list(range(len(loads)))
    for batch in groups:
        together = [loads[position] for position in batch]
        assert len(batch) == 1 or pass_seconds(together) <= seconds
        assert len(batch) <= tracks
        assert padding(together) <= MAX_PADDING
    assert [min(batch) for batch in groups] == sorted(min(batch) for batch in groups)


def test_batches_of_equal_tracks_are_filled_up_to_the_limit() -> None:
    loads = [TrackLoad(60.0, 8, 1)] * 10
    assert [len(batch) for batch in batches(loads, BatchLimit(100, 240.0))] == [4, 4, 2]
    guided = [TrackLoad(60.0, 8, 2)] * 10
    assert [len(batch) for batch in batches(guided, BatchLimit(100, 240.0))] == [2] * 5


def test_batches_group_tracks_with_equal_steps_and_passes_first() -> None:
    loads = [TrackLoad(60.0, steps, passes) for passes in (1, 2) for steps in (8, 50)] * 4
    groups = batches(loads, BatchLimit(4, 1e6))
    assert [len({(loads[i].steps, loads[i].passes) for i in batch}) for batch in groups] == [1] * 4


def test_batches_mix_guided_tracks_with_others_of_the_same_length() -> None:
    loads = [
        TrackLoad(seconds, 8, passes) for passes in (1, 2, 3) for seconds in (10.0, 20.0, 40.0)
    ]
    assert batches(loads, BatchLimit(8, 1e6)) == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]


def test_batches_mix_remaining_tracks_rather_than_make_them_alone() -> None:
    loads = [TrackLoad(60.0, 8, 1), TrackLoad(60.0, 50, 1), TrackLoad(60.0, 8, 2)]
    assert batches(loads, BatchLimit(8, 1e6)) == [[0, 1, 2]]
