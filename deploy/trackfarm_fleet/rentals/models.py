"""Records of a rental: its row, an observation of it, the timeouts, and the legal transitions."""

from collections.abc import Mapping
from dataclasses import dataclass

from trackfarm.protocol.fleet import RentalState
from trackfarm_fleet.providers.base import Instance

_S = RentalState
MOVES: Mapping[RentalState, frozenset[RentalState]] = {
    _S.INTENDED: frozenset({_S.CREATED, _S.ENDED}),
    _S.CREATED: frozenset({_S.BOOTING, _S.ENDING}),
    _S.BOOTING: frozenset({_S.JOINED, _S.ENDING}),
    _S.JOINED: frozenset({_S.DRAINING, _S.ENDING}),
    _S.DRAINING: frozenset({_S.ENDING}),
    _S.ENDING: frozenset({_S.ENDED}),
    _S.ENDED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class RentalRecord:
    """A rental. Times in seconds since 1970, `price_per_hour` in $ for the machine.

    `since`: when it entered its state. `seen_at`: when it was last listed, None if never.
    `stopped_at`: since when it has been stopped, outbid for example. `asked_to_end_at`: when its
    end was last requested. `reason`: why it ends, in words.
    """

    id: str
    tag: str
    provider: str
    gpu: str
    gpus: int
    price_per_hour: float
    intended_at: float
    since: float
    state: RentalState = RentalState.INTENDED
    provider_id: str = ""
    created_at: float | None = None
    joined_at: float | None = None
    ended_at: float | None = None
    seen_at: float | None = None
    stopped_at: float | None = None
    asked_to_end_at: float | None = None
    reason: str = ""

    @property
    def is_open(self) -> bool:
        return self.state is not RentalState.ENDED


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Timeouts in seconds.

    - `appear`: until a created machine is listed (RunPod and Vast list it at once; a list may lag).
    - `vanish`: until a listed machine that is missing counts as gone: one list may be incomplete.
    - `boot`: until its worker joins; dstack allows a large image 20 minutes.
    - `silence`: without a heartbeat, on a running machine.
    - `stopped`: outbid, until it is released.
    - `drain`: to finish its shards.
    - `ask_again`: between two requests to end it.
    """

    appear: float = 120.0
    vanish: float = 60.0
    boot: float = 1200.0
    silence: float = 600.0
    stopped: float = 600.0
    drain: float = 600.0
    ask_again: float = 30.0


@dataclass(frozen=True, slots=True)
class WorkerObservation:
    """The scheduler's view of the rental's workers: `silent_seconds` since the last heartbeat of
    any of them; `left`: all have deregistered."""

    silent_seconds: float
    left: bool = False


@dataclass(frozen=True, slots=True)
class Observation:
    """An observation of a rental. `listed_at`: when the provider's list was *requested*, None if
    that failed; without a list, `instance` means nothing. `worker` is None if none has ever
    registered. `why`: the reason for its release, if not `wanted`."""

    at: float
    listed_at: float | None
    instance: Instance | None = None
    worker: WorkerObservation | None = None
    wanted: bool = True
    why: str = "it is no longer needed"


def is_legal(source: RentalState, target: RentalState) -> bool:
    return target in MOVES[source]


def mermaid() -> str:
    """Return the state diagram that docs/architecture.md contains."""
    arrows = [f"    {a} --> {b}" for a, targets in MOVES.items() for b in sorted(targets)]
    return "\n".join(["stateDiagram-v2", *arrows])
