import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackfarm_worker.engine.child.decoder import windows


@given(frames=st.integers(1, 16_000), core=st.integers(1, 500), overlap=st.integers(0, 40))
def test_windows_keep_every_frame_once_with_context_on_both_sides(
    frames: int, core: int, overlap: int
) -> None:
    window = core + 2 * overlap
    plan = list(windows(frames, window=window, overlap=overlap))
    assert [w.keep_from for w in plan] == [0, *(w.keep_to for w in plan[:-1])]
    assert plan[-1].keep_to == frames
    for w in plan:
        assert 0 <= w.start <= w.keep_from < w.keep_to <= w.stop <= frames
        assert w.stop - w.start == plan[0].stop - plan[0].start <= window
        assert w.start == 0 or w.keep_from - w.start >= overlap
        assert w.stop == frames or w.stop - w.keep_to >= overlap


def test_the_overhead_of_a_long_track_is_a_tenth() -> None:
    decoded = sum(w.stop - w.start for w in windows(15_000))
    assert decoded / 15_000 < 1.12


def test_a_track_hardly_longer_than_a_window_is_not_decoded_twice() -> None:
    assert sum(w.stop - w.start for w in windows(260)) == 260 + 24


def test_a_window_without_a_core_is_refused() -> None:
    with pytest.raises(ValueError, match="no core"):
        list(windows(100, window=24, overlap=12))
