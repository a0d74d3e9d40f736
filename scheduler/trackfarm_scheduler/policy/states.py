"""State machines as data, and groups of states and failures. Code that writes a state asks here for
the allowed source states."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Generic, TypeVar

from trackfarm.protocol.fleet import RentalState
from trackfarm.protocol.operator import JobState, TrackState, WorkerState
from trackfarm.protocol.worker import FailureKind

S = TypeVar("S", bound=StrEnum)


class ShardState(StrEnum):
    OFFERED = "offered"
    CLAIMED = "claimed"
    FINISHED = "finished"


class LeaseState(StrEnum):
    LIVE = "live"
    ENDED = "ended"


class AttemptState(StrEnum):
    OPEN = "open"
    DONE = "done"
    FAILED = "failed"
    RELEASED = "released"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    FORGIVEN = "forgiven"


class StateMachine(Generic[S]):
    """State machine. `moves` maps each state to its possible next states."""

    def __init__(self, name: str, moves: Mapping[S, frozenset[S]]) -> None:
        self.name = name
        self.moves = moves

    def sources(self, target: S) -> list[S]:
        """Return the states with a direct move to `target`."""
        return [state for state, targets in self.moves.items() if target in targets]

    def allows(self, source: S, target: S) -> bool:
        return target in self.moves[source]

    def reaches(self, source: S, target: S) -> bool:
        """Return whether `source` can become `target` in any number of moves, zero included."""
        visited = {source}
        frontier = [source]
        while frontier:
            new = self.moves[frontier.pop()] - visited
            visited |= new
            frontier += new
        return target in visited

    def mermaid(self) -> str:
        """Return the diagram kept in docs/architecture.md."""
        arrows = [f"    {a} --> {b}" for a, targets in self.moves.items() for b in sorted(targets)]
        return "\n".join(["stateDiagram-v2", *arrows])


def _machine(name: str, moves: Mapping[S, set[S]]) -> StateMachine[S]:
    return StateMachine(name, {state: frozenset(targets) for state, targets in moves.items()})


IN_PROGRESS = (JobState.ACCEPTED, JobState.RUNNING)  # states of jobs in progress
UNFINISHED = (TrackState.PENDING, TrackState.LEASED)
WORKING_STATES = frozenset({WorkerState.READY, WorkerState.BUSY})
LIVE_STATES = frozenset({WorkerState.JOINING, WorkerState.READY, WorkerState.BUSY})
# Failures that never count against a track.
INFRASTRUCTURE = frozenset(
    {
        FailureKind.UPLOAD_FAILED,
        FailureKind.DISK_FULL,
        FailureKind.OBJECT_MISMATCH,
        FailureKind.OUT_OF_MEMORY,
        FailureKind.SOURCE_UNREACHABLE,
    }
)
CRASHES = frozenset({FailureKind.ENGINE_DIED, FailureKind.ENGINE_HUNG})
BAD_WORKER_STRIKES = 3

_J, _T, _W = JobState, TrackState, WorkerState

JOB = _machine(
    "job",
    {
        _J.ACCEPTED: {
            _J.RUNNING,
            _J.PAUSED,
            _J.DONE,
            _J.FAILED,
            _J.CANCELLED,
            _J.OUT_OF_BUDGET,
        },
        _J.RUNNING: {_J.PAUSED, _J.DONE, _J.FAILED, _J.CANCELLED, _J.OUT_OF_BUDGET},
        _J.PAUSED: {_J.RUNNING, _J.CANCELLED},
        _J.DONE: {_J.RUNNING},
        _J.FAILED: {_J.RUNNING},
        _J.CANCELLED: {_J.RUNNING},
        _J.OUT_OF_BUDGET: {_J.RUNNING, _J.CANCELLED},
    },
)
TRACK = _machine(
    "track",
    {
        _T.PENDING: {_T.LEASED, _T.CANCELLED},
        _T.LEASED: {_T.PENDING, _T.DONE, _T.FAILED, _T.CANCELLED},
        _T.DONE: {_T.PENDING, _T.FAILED},
        _T.FAILED: {_T.PENDING},
        _T.CANCELLED: {_T.PENDING},
    },
)
SHARD = _machine(
    "shard",
    {
        ShardState.OFFERED: {ShardState.CLAIMED, ShardState.FINISHED},
        ShardState.CLAIMED: {ShardState.FINISHED},
        ShardState.FINISHED: set(),
    },
)
LEASE = _machine("lease", {LeaseState.LIVE: {LeaseState.ENDED}, LeaseState.ENDED: set()})
WORKER = _machine(
    "worker",
    {
        _W.JOINING: {_W.READY, _W.LOST, _W.GONE},
        _W.READY: {_W.BUSY, _W.DRAINING, _W.LOST, _W.GONE, _W.QUARANTINED},
        _W.BUSY: {_W.READY, _W.DRAINING, _W.LOST, _W.GONE, _W.QUARANTINED},
        _W.DRAINING: {_W.LOST, _W.GONE},
        _W.QUARANTINED: {_W.LOST, _W.GONE},
        _W.LOST: {_W.READY, _W.BUSY, _W.DRAINING, _W.QUARANTINED, _W.GONE},
        _W.GONE: set(),
    },
)
_R = RentalState
RENTAL = _machine(
    "rental",
    {
        _R.INTENDED: {_R.CREATED, _R.ENDED},
        _R.CREATED: {_R.BOOTING, _R.ENDING},
        _R.BOOTING: {_R.JOINED, _R.ENDING},
        _R.JOINED: {_R.DRAINING, _R.ENDING},
        _R.DRAINING: {_R.ENDING},
        _R.ENDING: {_R.ENDED},
        _R.ENDED: set(),
    },
)
MACHINES: tuple[StateMachine, ...] = (JOB, TRACK, SHARD, LEASE, WORKER, RENTAL)  # type: ignore[type-arg]


def is_bad_worker(strikes: int) -> bool:
    """Return whether a worker failed too many tracks that other workers then made."""
    return strikes >= BAD_WORKER_STRIKES
