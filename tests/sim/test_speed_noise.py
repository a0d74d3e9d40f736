"""Speed noise: work and time are the inverse of each other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackfarm_sim.speed_noise import BLOCKS, SpeedNoise

NOISE = SpeedNoise(np.random.default_rng(1), sigma=0.2, block=20.0)
phases = st.integers(0, BLOCKS - 1)
times = st.floats(0, 1e6)


@given(phases, times, st.lists(st.floats(0.01, 5e4), min_size=1, max_size=5))
def test_finish_times_are_the_inverse_of_work(
    phase: int, start: float, seconds: list[float]
) -> None:
    ends = NOISE.finish_times(phase, start, np.array(seconds))
    done = NOISE.work(float(phase), ends) - NOISE.work(float(phase), start)
    assert done == pytest.approx(np.cumsum(seconds), rel=1e-6, abs=1e-4)
    assert (np.diff([start, *ends]) > 0).all()


def test_finish_times_without_noise_are_clock_time() -> None:
    calm = SpeedNoise(np.random.default_rng(1), sigma=0.0, block=20.0)
    ends = calm.finish_times(7, 100.0, np.array([3.0, 4.0]))
    assert ends == pytest.approx([103.0, 107.0])
