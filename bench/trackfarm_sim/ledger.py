"""The state of every track, in place of the real farm's database; one byte per track."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from itertools import chain, islice

import numpy as np

from trackfarm.protocol.operator import TrackCounts
from trackfarm_scheduler.policy.models import WaitingTrack
from trackfarm_sim.workload import Workload


class TrackProgress(IntEnum):
    PENDING = 0
    LEASED = 1
    DONE = 2
    FAILED = 3


class CommittedTwice(AssertionError):
    """Raised if a track is committed twice, which no policy may cause."""


class TrackLedger:
    """The tracks. Pending tracks are ordered by number, returned ones first."""

    def __init__(self, workload: Workload) -> None:
        self._workload = workload
        self.total = len(workload.shape_of)
        self.state = np.zeros(self.total, dtype=np.uint8)
        self.pending = self.total
        self.done = 0
        self.failed = 0
        self.last_commit = 0.0
        self._cursor = 0
        self._front: dict[int, WaitingTrack] = {}  # returned by `window`, never leased; in order
        self._back: dict[int, WaitingTrack] = {}  # leased before

    @property
    def is_finished(self) -> bool:
        return self.done + self.failed == self.total

    @property
    def counts(self) -> TrackCounts:
        leased = self.total - self.pending - self.done - self.failed
        return TrackCounts(pending=self.pending, leased=leased, done=self.done, failed=self.failed)

    def window(self, limit: int) -> Sequence[WaitingTrack]:
        """Return the first `limit` pending tracks."""
        missing = limit - len(self._back) - len(self._front)
        self._front.update(self._fresh(min(max(missing, 0), self.total - self._cursor)))
        back = [self._back[i] for i in sorted(self._back)]
        return list(islice(chain(back, self._front.values()), limit))

    @property
    def has_returned_tracks(self) -> bool:
        """True if tracks wait that were leased before."""
        return bool(self._back)

    def _fresh(self, number: int) -> Iterator[tuple[int, WaitingTrack]]:
        first, self._cursor = self._cursor, self._cursor + number
        shapes, vram = self._workload.shapes, self._workload.min_vram
        codes = self._workload.shape_of[first : self._cursor].tolist()
        for i, code in enumerate(codes, first):
            yield i, WaitingTrack(i, shapes[code], vram[code])

    def lease(self, ids: Sequence[int]) -> None:
        self.state[ids] = TrackProgress.LEASED
        self.pending -= len(ids)
        for i in ids:
            if self._front.pop(i, None) is None:
                del self._back[i]

    def return_tracks(
        self,
        ids: Iterable[int],
        avoid: Mapping[int, frozenset[str]],
    ) -> None:
        """Make tracks pending again; `avoid` names the workers that failed them."""
        for i in ids:
            code = self._workload.shape_of[i]
            shape, vram = self._workload.shapes[code], self._workload.min_vram[code]
            failed_by = avoid.get(i, frozenset())
            self._back[i] = WaitingTrack(i, shape, vram, avoid=failed_by, previously_leased=True)
            assert self.state[i] == TrackProgress.LEASED, "only leased tracks can be returned"
            self.state[i] = TrackProgress.PENDING
            self.pending += 1

    def commit(self, ids: Sequence[int], at: float) -> None:
        """Mark tracks as done. Raises CommittedTwice."""
        if (self.state[ids] != TrackProgress.LEASED).any():
            raise CommittedTwice(f"some of the tracks {ids} are not leased")
        self.state[ids] = TrackProgress.DONE
        self.done += len(ids)
        self.last_commit = max(self.last_commit, at)

    def mark_failed(self, track: int, at: float) -> None:
        self.state[track] = TrackProgress.FAILED
        self.failed += 1
        self.last_commit = max(self.last_commit, at)

    def has_failed(self, track: int) -> bool:
        return bool(self.state[track] == TrackProgress.FAILED)

    def reopen(self, track: int) -> None:
        """Undo `mark_failed`."""
        assert self.state[track] == TrackProgress.FAILED
        self.failed -= 1
        self.state[track] = TrackProgress.LEASED
