"""Noise levels of a track: falling from 1 to 0, one more than its steps (pure)."""

from collections.abc import Sequence


def noise_levels(steps: int, shift: float) -> tuple[float, ...]:
    """Return ACE-Step's schedule: even steps, shifted towards 1."""
    even = [1.0 - step / steps for step in range(steps)]
    return (*(shift * level / (1.0 + (shift - 1.0) * level) for level in even), 0.0)


def custom_levels(timesteps: Sequence[float], *, is_distilled: bool) -> tuple[float, ...]:
    """Return the schedule of `timesteps`, which ends at 0 whether they do or not.

    As in ACE-Step, distilled models make the nearest of the levels that they were distilled for.
    """
    levels = [level for level in timesteps if level > 0.0]
    if is_distilled:
        levels = [min(DISTILLED_LEVELS, key=lambda known: abs(known - x)) for x in levels]
    return (*levels, 0.0)


def levels_from(levels: Sequence[float], closeness: float) -> tuple[float, ...]:
    """Return the rest of a schedule from the level nearest to 1 - `closeness`."""
    noised = levels[:-1]
    first = min(range(len(noised)), key=lambda i: abs(noised[i] - (1.0 - closeness)))
    return tuple(levels[first:])


DISTILLED_LEVELS = sorted(
    {level for shift in (1.0, 2.0, 3.0) for level in noise_levels(8, shift)[:-1]}, reverse=True
)
