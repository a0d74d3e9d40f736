"""Speed noise: from work to time and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackfarm_sim.speed_noise import BLOCKS, Weather

WEATHER = Weather(np.random.default_rng(1), sigma=0.2, block=20.0)
phases = st.integers(0, BLOCKS - 1)
times = st.floats(0, 1e6)


@given(phases, times, st.lists(st.floats(0.01, 5e4), min_size=1, max_size=5))
def test_the_time_that_work_takes_holds_just_that_work(
    phase: int, start: float, works: list[float]
) -> None:
    ends = WEATHER.finish_times(phase, start, np.array(works))
    done = WEATHER.work(float(phase), ends) - WEATHER.work(float(phase), start)
    assert done == pytest.approx(np.cumsum(works), rel=1e-6, abs=1e-4)
    assert (np.diff([start, *ends]) > 0).all()


def test_calm_weather_is_clock_time() -> None:
    calm = Weather(np.random.default_rng(1), sigma=0.0, block=20.0)
    ends = calm.finish_times(7, 100.0, np.array([3.0, 4.0]))
    assert ends == pytest.approx([103.0, 107.0])
