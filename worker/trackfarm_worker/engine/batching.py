"""Which tracks go through the model together."""

from collections.abc import Sequence
from dataclasses import dataclass

# Share of a batch's frames. Launching a pass takes a large card as long as 150 s of audio in it, so
# a pass more costs more than that.
MAX_PADDING = 0.15


@dataclass(frozen=True, slots=True)
class Load:
    """One track: seconds of audio, steps, and rows in each pass through the model."""

    seconds: float
    steps: int
    passes: int


@dataclass(frozen=True, slots=True)
class Limit:
    """The largest batch: tracks, and padded audio seconds times passes."""

    tracks: int
    seconds: float


def weight(loads: Sequence[Load]) -> float:
    """Padded audio seconds times passes: what a batch's memory grows with."""
    return max(load.seconds for load in loads) * sum(load.passes for load in loads)


def padding(loads: Sequence[Load]) -> float:
    """The share of a batch's frames that would be padding."""
    return 1.0 - sum(load.seconds for load in loads) / (
        len(loads) * max(load.seconds for load in loads)
    )


def batches(loads: Sequence[Load], limit: Limit) -> list[list[int]]:
    """Places of `loads` by batch; each is within `limit`, or a single track.

    Neighbours are tracks with equal steps and a similar length: a batch shrinks as its tracks
    finish, and padding is work for nothing. Guided tracks go with others, for a second row pads
    nobody. Batches come in the order of their first tracks.
    """
    order = sorted(
        range(len(loads)),
        key=lambda i: (loads[i].steps, loads[i].seconds, loads[i].passes, i),
    )
    made: list[list[int]] = []
    for place in order:
        if made and _fits([loads[i] for i in (*made[-1], place)], limit):
            made[-1].append(place)
        else:
            made.append([place])
    return sorted((sorted(batch) for batch in made), key=min)


def _fits(loads: Sequence[Load], limit: Limit) -> bool:
    return (
        len(loads) <= limit.tracks
        and weight(loads) <= limit.seconds
        and padding(loads) <= MAX_PADDING
    )
