"""Records of a rental: its row, an observation of it, the timeouts, and the legal transitions."""

from collections.abc import Mapping
from dataclasses import dataclass

from trackfarm.protocol.fleet import RentalState
from trackfarm_fleet.providers.base import Instance

_S = RentalState
TRANSITIONS: Mapping[RentalState, frozenset[RentalState]] = {
    _S.INTENDED: frozenset({_S.CREATED, _S.ENDED}),
    _S.CREATED: frozenset({_S.BOOTING, _S.ENDING}),
    _S.BOOTING: frozenset({_S.JOINED, _S.ENDING}),
    _S.JOINED: frozenset({_S.DRAINING, _S.ENDING}),
    _S.DRAINING: frozenset({_S.ENDING}),
    _S.ENDING: frozenset({_S.ENDED}),
    _S.ENDED: frozenset(),
}


def is_legal(source: RentalState, target: RentalState) -> bool:
    return target in TRANSITIONS[source]


def mermaid() -> str:
    """Return the state diagram that docs/architecture.md contains."""
    arrows = [f"    {a} --> {b}" for a, targets in TRANSITIONS.items() for b in sorted(targets)]
    return "\n".join(["stateDiagram-v2", *arrows])


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
    """Timeouts of a rental, all in seconds."""

    # Until a created machine is listed. RunPod and Vast list it at once; a list may lag.
    create_timeout_seconds: float = 120.0
    # Until a listed machine that is missing counts as gone: one list may be incomplete.
    missing_timeout_seconds: float = 60.0
    # Until its worker joins; dstack allows a large image 20 minutes.
    boot_timeout_seconds: float = 1200.0
    # Without a heartbeat, on a running machine.
    heartbeat_timeout_seconds: float = 600.0
    # Outbid, until it is released.
    stopped_timeout_seconds: float = 600.0
    # To finish its shards.
    drain_timeout_seconds: float = 600.0
    # Between two requests to end it.
    terminate_retry_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class WorkerObservation:
    """The scheduler's view of the rental's workers: `silent_seconds` since the last heartbeat of
    any of them; `has_left`: all have deregistered."""

    silent_seconds: float
    has_left: bool = False


@dataclass(frozen=True, slots=True)
class Observation:
    """An observation of a rental. `listed_at`: when the provider's list was *requested*, None if
    that failed; without a list, `instance` means nothing. `worker` is None if none has ever
    registered. `release_reason`: why it must be released, empty to keep it."""

    at: float
    listed_at: float | None
    instance: Instance | None = None
    worker: WorkerObservation | None = None
    release_reason: str = ""
