"""One shard from claim to last report: the body of a Celery task.

Three shards overlap: while one computes, the previous one is being finished and the next one
fetches its sources. Only the engine is exclusive.
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import structlog

from trackfarm.protocol.worker import (
    ClaimAnswer,
    ClaimRequest,
    FailureKind,
    ReleaseReason,
    ReleaseRequest,
    Stage,
    Timings,
    TrackDone,
    TrackFailed,
    TrackOrder,
)
from trackfarm_worker.audio_tags import TrackProvenance
from trackfarm_worker.engine.parent.client import EngineClient
from trackfarm_worker.engine.parent.supervisor import EngineStartFailed
from trackfarm_worker.engine.protocol import (
    EngineEvent,
    EngineProgress,
    FailedTrack,
    FinishedTrack,
)
from trackfarm_worker.engine_tracks import engine_track
from trackfarm_worker.finisher import Finisher
from trackfarm_worker.outbox import Outbox
from trackfarm_worker.scheduler_client import (
    LeaseLost,
    RequestRejected,
    SchedulerClient,
    SchedulerUnavailable,
    Unauthorized,
)
from trackfarm_worker.shards_in_flight import ShardInFlight, ShardRegistry
from trackfarm_worker.sources.cache import SourceCache, TrackSources
from trackfarm_worker.sources.protocol import SourceRefused, SourceUnavailable

log = structlog.get_logger(__name__)
CLAIM_TRIES, CLAIM_PAUSE_SECONDS = 5, 0.5
DELIVERY_TIMEOUT_SECONDS = 600.0  # longest wait of a shard for a scheduler that is unreachable


class ShardRunner:
    """Runner of shards; thread-safe. `on_engine_lost` is called when the engine can no longer be
    restarted."""

    def __init__(
        self,
        *,
        client: SchedulerClient,
        registry: ShardRegistry,
        engine: EngineClient,
        finisher: Finisher,
        sources: SourceCache,
        outbox: Outbox,
        finishing: ThreadPoolExecutor,
        on_engine_lost: Callable[[str], None],
        on_unauthorized: Callable[[str], None],
    ) -> None:
        self._client = client
        self._registry = registry
        self._engine = engine
        self._finisher = finisher
        self._sources = sources
        self._outbox = outbox
        self._finishing = finishing
        self._on_engine_lost = on_engine_lost
        self._on_unauthorized = on_unauthorized

    def run(self, shard_id: str, lease_id: str) -> None:
        claim = self._claim(shard_id, lease_id)
        if claim is None:
            return
        with self._registry.track(claim) as shard:
            unfinished = self._fetch_and_generate(shard)
            shard.stage = Stage.FINISHING
            self._outbox.wait_until_delivered(lease_id, DELIVERY_TIMEOUT_SECONDS)
            self._release(shard, unfinished)

    def _claim(self, shard_id: str, lease_id: str) -> ClaimAnswer | None:
        """Claim the shard; None if another worker has it, its job was cancelled, or the scheduler
        refuses or does not respond after `CLAIM_TRIES` attempts."""
        for attempt in range(CLAIM_TRIES):
            try:
                response = self._client.claim(shard_id, ClaimRequest(lease_id=lease_id))
            except SchedulerUnavailable as error:
                log.warning("claim_failed", shard=shard_id, error=str(error))
                time.sleep(CLAIM_PAUSE_SECONDS * 2**attempt)
            except (Unauthorized, RequestRejected) as error:
                if isinstance(error, Unauthorized):
                    self._on_unauthorized(str(error))
                log.warning("claim_rejected", shard=shard_id, error=str(error))
                return None
            else:
                if isinstance(response, LeaseLost):
                    log.info("lease_lost", shard=shard_id, reason=response.reason)
                    return None
                return response
        return None

    def _fetch_and_generate(self, shard: ShardInFlight) -> set[int]:
        """Fetch the sources and make the tracks; return the tracks without a result."""
        if shard.stop_reason is not None:
            return set(shard.track_ids)
        shard.stage = Stage.FETCHING

        def is_stopped() -> bool:
            return shard.stop_reason is not None

        lease_id = shard.claim.lease_id
        with self._sources.prepared(lease_id, shard.claim.tracks, is_stopped) as sources:
            shard.stage = Stage.WAITING
            if is_stopped():
                return set(shard.track_ids)
            ready = {i: result for i, result in sources.items() if isinstance(result, TrackSources)}
            for track_id, result in sources.items():
                if not isinstance(result, TrackSources):
                    self._put(shard, _source_failure(track_id, result))
            return self._generate(shard, ready)

    def _generate(self, shard: ShardInFlight, ready: Mapping[int, TrackSources]) -> set[int]:
        """Compute and finish the tracks that are ready; return the ones without a result."""
        orders = {order.track_id: order for order in shard.claim.tracks if order.track_id in ready}
        if not orders:
            return set()
        pending: list[Future[int | None]] = []

        def on_event(event: EngineEvent) -> None:
            match event:
                case EngineProgress():
                    shard.stage, shard.step, shard.steps = (
                        Stage.COMPUTING,
                        event.step,
                        event.steps,
                    )
                case FinishedTrack():
                    order = orders[event.track_id]
                    fetch_seconds = ready[event.track_id].seconds
                    pending.append(
                        self._finishing.submit(self._finish, shard, order, event, fetch_seconds)
                    )
                case FailedTrack():
                    self._put(shard, _engine_failure(event, ready[event.track_id].seconds))

        try:
            engine_tracks = [engine_track(order, ready[i]) for i, order in orders.items()]
            results = self._engine.run(engine_tracks, on_event)
        except EngineStartFailed as error:
            shard.stop_reason = ReleaseReason.ENGINE_UNAVAILABLE
            self._on_engine_lost(str(error))
            results = []
        shard.stage = Stage.FINISHING
        answered = {r.track_id for r in results if isinstance(r, FailedTrack)}
        answered |= {track_id for future in pending if (track_id := future.result()) is not None}
        return set(orders) - answered

    def _finish(
        self, shard: ShardInFlight, order: TrackOrder, audio: FinishedTrack, fetch_seconds: float
    ) -> int | None:
        """Finish one track; return its id once the outbox has its result, None if it was
        dropped."""
        if shard.lease_lost:
            audio.path.unlink(missing_ok=True)
            return None
        result = self._finisher.finish(
            shard.renewed_orders.get(order.track_id, order),
            audio,
            TrackProvenance(shard.claim.job_id, shard.claim.model_set),
            renew_url=lambda track_id: self._renew_urls(shard, track_id),
            is_stopping=lambda: shard.stop_reason is not None,
        )
        timings = result.timings.model_copy(
            update={"service": audio.timings.service, "fetch": fetch_seconds}
        )
        self._put(shard, result.model_copy(update={"timings": timings}))
        shard.finished += 1
        return order.track_id

    def _renew_urls(self, shard: ShardInFlight, track_id: int) -> TrackOrder | None:
        """Claim our own shard again for fresh upload URLs, which the response carries for all its
        tracks."""
        new_claim = self._claim(shard.claim.shard_id, shard.claim.lease_id)
        if new_claim is None:
            return None
        shard.renewed_orders = {order.track_id: order for order in new_claim.tracks}
        return shard.renewed_orders.get(track_id)

    def _put(self, shard: ShardInFlight, result: TrackDone | TrackFailed) -> None:
        self._outbox.put(shard.claim.shard_id, shard.claim.lease_id, result)

    def _release(self, shard: ShardInFlight, unfinished: set[int]) -> None:
        """Release unmade tracks, so that the scheduler can place them again at once."""
        if not unfinished or shard.lease_lost:
            return
        reason = shard.stop_reason or ReleaseReason.STOPPED
        request = ReleaseRequest(
            lease_id=shard.claim.lease_id, track_ids=sorted(unfinished), reason=reason
        )
        try:
            self._client.release(shard.claim.shard_id, request)
        except (SchedulerUnavailable, Unauthorized, RequestRejected) as error:
            log.warning("release_failed", shard=shard.claim.shard_id, error=str(error))


def _source_failure(track_id: int, result: SourceRefused | SourceUnavailable) -> TrackFailed:
    match result:
        case SourceRefused():
            kind = FailureKind.BAD_INPUT
        case SourceUnavailable(is_disk_full=True):
            kind = FailureKind.DISK_FULL
        case SourceUnavailable():
            kind = FailureKind.SOURCE_UNREACHABLE
    return TrackFailed(track_id=track_id, kind=kind, message=result.message[:4000])


def _engine_failure(event: FailedTrack, fetch_seconds: float) -> TrackFailed:
    timings = event.timings
    return TrackFailed(
        track_id=event.track_id,
        kind=event.kind,
        message=event.message[:4000],
        timings=Timings(
            service=timings.service,
            fetch=fetch_seconds,
            condition=timings.condition,
            denoise=timings.denoise,
            decode=timings.decode,
        ),
    )
