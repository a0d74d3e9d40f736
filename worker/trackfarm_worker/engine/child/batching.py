"""Grouping of tracks into batches."""

from collections.abc import Sequence
from dataclasses import dataclass

# Share of a batch's frames. On a large GPU the launch of a pass takes as long as 150 s of audio, so
# one more pass would cost more than this much padding.
MAX_PADDING = 0.15


@dataclass(frozen=True, slots=True)
class TrackLoad:
    """Cost of one track: seconds of audio, steps, and rows in each pass through the model."""

    seconds: float
    steps: int
    passes: int


@dataclass(frozen=True, slots=True)
class BatchLimit:
    """Largest batch: number of tracks, and pass-seconds (padded audio seconds times passes)."""

    tracks: int
    pass_seconds: float


def pass_seconds(loads: Sequence[TrackLoad]) -> float:
    """Return the pass-seconds of a batch, with which its memory grows."""
    return max(load.seconds for load in loads) * sum(load.passes for load in loads)


def padding(loads: Sequence[TrackLoad]) -> float:
    """Return the share of padding in the frames of a batch."""
    return 1.0 - sum(load.seconds for load in loads) / (
        len(loads) * max(load.seconds for load in loads)
    )


def batches(loads: Sequence[TrackLoad], limit: BatchLimit) -> list[list[int]]:
    """Return the indices of `loads` by batch; each batch is within `limit`, or a single track.

    Tracks with equal steps and similar length are grouped: a batch shrinks as its tracks finish,
    and padding is wasted work. Guided tracks share batches with others, because a second row adds
    no padding. Batches are ordered by their first tracks.
    """
    order = sorted(
        range(len(loads)),
        key=lambda i: (loads[i].steps, loads[i].seconds, loads[i].passes, i),
    )
    groups: list[list[int]] = []
    for index in order:
        if groups and _fits([loads[i] for i in (*groups[-1], index)], limit):
            groups[-1].append(index)
        else:
            groups.append([index])
    return sorted((sorted(batch) for batch in groups), key=min)


def _fits(loads: Sequence[TrackLoad], limit: BatchLimit) -> bool:
    return (
        len(loads) <= limit.tracks
        and pass_seconds(loads) <= limit.pass_seconds
        and padding(loads) <= MAX_PADDING
    )
