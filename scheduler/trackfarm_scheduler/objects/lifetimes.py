"""Lifetime limits of signed URLs."""

from datetime import timedelta

LONGEST = timedelta(days=7)  # the limit of AWS signature version 4


def whole_seconds(lifetime: timedelta) -> int:
    """Return the lifetime in whole seconds, rounded down.

    Raises:
        ValueError: it is shorter than one second or longer than seven days.
    """
    if not timedelta(seconds=1) <= lifetime <= LONGEST:
        raise ValueError(f"the lifetime of a signed URL is 1 second to 7 days, got {lifetime}")
    return int(lifetime.total_seconds())
