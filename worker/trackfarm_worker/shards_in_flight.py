"""Registry of the shards in flight on this worker: source of heartbeats, and target of stop
commands."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from trackfarm.protocol.worker import ClaimAnswer, ReleaseReason, ShardProgress, Stage, TrackOrder


@dataclass(slots=True)
class ShardInFlight:
    """A claimed shard. `stop_reason` is set once, when the remaining tracks must not be made;
    `lease_lost`: no result is worth delivering. `renewed_orders` holds the track orders of the
    latest repeated claim, which carry fresh upload URLs."""

    claim: ClaimAnswer
    stage: Stage = Stage.WAITING
    step: int = 0
    steps: int = 0
    finished: int = 0
    stop_reason: ReleaseReason | None = None
    lease_lost: bool = False
    renewed_orders: Mapping[int, TrackOrder] = field(default_factory=dict)
    track_ids: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        self.track_ids = frozenset(order.track_id for order in self.claim.tracks)

    def progress(self) -> ShardProgress:
        return ShardProgress(
            shard_id=self.claim.shard_id,
            lease_id=self.claim.lease_id,
            stage=self.stage,
            step=self.step,
            steps=self.steps,
            finished=self.finished,
        )


class ShardRegistry:
    """Shard registry; thread-safe. Task threads add shards, the heartbeat thread reads and stops
    them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shards: dict[str, ShardInFlight] = {}
        self._is_draining = False

    @contextmanager
    def track(self, claim: ClaimAnswer) -> Iterator[ShardInFlight]:
        """Register a claimed shard for the duration of the block."""
        shard = ShardInFlight(claim)
        with self._lock:
            self._shards[claim.lease_id] = shard
            if self._is_draining:
                shard.stop_reason = ReleaseReason.DRAINING
        try:
            yield shard
        finally:
            with self._lock:
                self._shards.pop(claim.lease_id, None)

    @property
    def is_draining(self) -> bool:
        return self._is_draining

    def progress(self) -> list[ShardProgress]:
        with self._lock:
            return [shard.progress() for shard in self._shards.values()]

    def stop(self, lease_id: str, reason: ReleaseReason, *, lease_lost: bool) -> frozenset[int]:
        """Mark a shard as stopped; return the tracks that the engine must stop."""
        with self._lock:
            shard = self._shards.get(lease_id)
            if shard is None:
                return frozenset()
            shard.stop_reason = shard.stop_reason or reason
            shard.lease_lost = shard.lease_lost or lease_lost
            return shard.track_ids

    def drain(self) -> None:
        """Mark every shard as draining, including later ones."""
        with self._lock:
            self._is_draining = True
            for shard in self._shards.values():
                shard.stop_reason = shard.stop_reason or ReleaseReason.DRAINING
