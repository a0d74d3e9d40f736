"""The state of every track: what the database is to the real farm, one byte a track."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from itertools import chain, islice

import numpy as np

from trackfarm.api import TrackCounts
from trackfarm_scheduler.outlines import WaitingTrack
from trackfarm_sim.works import Works


class State(IntEnum):
    PENDING = 0
    LEASED = 1
    DONE = 2
    FAILED = 3


class MadeTwice(AssertionError):
    """A track was committed twice: what no policy may do."""


class Ledger:
    """Pending tracks come in the order of their numbers, those handed back first."""

    def __init__(self, works: Works) -> None:
        self._works = works
        self.total = len(works.shape_of)
        self.state = np.zeros(self.total, dtype=np.uint8)
        self.pending = self.total
        self.done = 0
        self.failed = 0
        self.last_commit = 0.0
        self._cursor = 0
        self._front: dict[int, WaitingTrack] = {}  # looked at, never leased: in order
        self._back: dict[int, WaitingTrack] = {}  # leased before

    @property
    def is_settled(self) -> bool:
        return self.done + self.failed == self.total

    @property
    def counts(self) -> TrackCounts:
        leased = self.total - self.pending - self.done - self.failed
        return TrackCounts(pending=self.pending, leased=leased, done=self.done, failed=self.failed)

    def window(self, limit: int) -> Sequence[WaitingTrack]:
        """The first `limit` pending tracks."""
        missing = limit - len(self._back) - len(self._front)
        self._front.update(self._fresh(min(max(missing, 0), self.total - self._cursor)))
        back = [self._back[i] for i in sorted(self._back)]
        return list(islice(chain(back, self._front.values()), limit))

    @property
    def came_back(self) -> bool:
        """Whether tracks wait that somebody had before."""
        return bool(self._back)

    def _fresh(self, number: int) -> Iterator[tuple[int, WaitingTrack]]:
        first, self._cursor = self._cursor, self._cursor + number
        shapes, vram = self._works.shapes, self._works.min_vram
        codes = self._works.shape_of[first : self._cursor].tolist()
        for i, code in enumerate(codes, first):
            yield i, WaitingTrack(i, shapes[code], vram[code])

    def lease(self, ids: Sequence[int]) -> None:
        self.state[ids] = State.LEASED
        self.pending -= len(ids)
        for i in ids:
            if self._front.pop(i, None) is None:
                del self._back[i]

    def give_back(
        self,
        ids: Iterable[int],
        avoid: Mapping[int, frozenset[str]],
    ) -> None:
        """Makes tracks pending again; `avoid` names the workers that failed them."""
        for i in ids:
            code = self._works.shape_of[i]
            shape, vram = self._works.shapes[code], self._works.min_vram[code]
            failed_by = avoid.get(i, frozenset())
            self._back[i] = WaitingTrack(i, shape, vram, avoid=failed_by, begun=True)
            assert self.state[i] == State.LEASED, "only what was leased comes back"
            self.state[i] = State.PENDING
            self.pending += 1

    def commit(self, ids: Sequence[int], at: float) -> None:
        """Raises MadeTwice."""
        if (self.state[ids] != State.LEASED).any():
            raise MadeTwice(f"tracks among {ids} are not waiting for a result")
        self.state[ids] = State.DONE
        self.done += len(ids)
        self.last_commit = max(self.last_commit, at)

    def give_up(self, track: int, at: float) -> None:
        self.state[track] = State.FAILED
        self.failed += 1
        self.last_commit = max(self.last_commit, at)

    def is_given_up(self, track: int) -> bool:
        return bool(self.state[track] == State.FAILED)

    def reopen(self, track: int) -> None:
        """Takes back that a track was given up."""
        assert self.state[track] == State.FAILED
        self.failed -= 1
        self.state[track] = State.LEASED
