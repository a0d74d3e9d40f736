"""What is known of a rental: our row, one look at it, how long to wait for what; its states."""

from collections.abc import Mapping
from dataclasses import dataclass

from trackfarm.rentals import RentalState
from trackfarm_fleet.providers.port import Instance

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
class Rental:
    """A row of ours. Moments in seconds since 1970, `price_per_hour` in $ for the machine.

    `since`: when it came into its state. `seen_at`: when a list has shown it last, None: never.
    `stopped_at`: since when it has been stopped, outbid for example. `asked_to_end_at`: when its
    end was asked for last. `reason` says in words why it ends.
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
class Patience:
    """Seconds. `appear`: until a machine that was made is listed at all (RunPod and Vast show it
    at once; a list may lag). `vanish`: until one that a list has shown counts as gone: one list may
    be incomplete. `boot`: until its worker joins; dstack gives a large image 20
    minutes. `silence`: without a heartbeat on a machine that runs. `stopped`: outbid, until it is
    given up. `drain`: for the shards it has. `ask_again`: between two requests to end it.
    """

    appear: float = 120.0
    vanish: float = 60.0
    boot: float = 1200.0
    silence: float = 600.0
    stopped: float = 600.0
    drain: float = 600.0
    ask_again: float = 30.0


@dataclass(frozen=True, slots=True)
class WorkerSight:
    """What the scheduler knows of the rental's workers. `silent_seconds` since the last heartbeat
    of any of them; `left`: all have taken their leave."""

    silent_seconds: float
    left: bool = False


@dataclass(frozen=True, slots=True)
class Sight:
    """One look at a rental. `listed_at`: when the provider's list was *asked for*, None if it gave
    none; without a list, `instance` says nothing. `worker` None: none has ever registered;
    `why` it is not wanted, if it is not."""

    at: float
    listed_at: float | None
    instance: Instance | None = None
    worker: WorkerSight | None = None
    wanted: bool = True
    why: str = "it is not wanted any more"


def is_legal(source: RentalState, target: RentalState) -> bool:
    return target in MOVES[source]


def mermaid() -> str:
    """The drawing kept in docs/architecture.md."""
    arrows = [f"    {a} --> {b}" for a, targets in MOVES.items() for b in sorted(targets)]
    return "\n".join(["stateDiagram-v2", *arrows])
