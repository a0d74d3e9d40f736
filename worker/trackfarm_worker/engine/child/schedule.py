"""Noise levels of a track: falling from 1 to 0, one more than its steps (pure)."""


def noise_levels(steps: int, shift: float) -> tuple[float, ...]:
    """Return ACE-Step's schedule: even steps, shifted towards 1."""
    even = [1.0 - step / steps for step in range(steps)]
    return (*(shift * level / (1.0 + (shift - 1.0) * level) for level in even), 0.0)
