"""One shard from claim to last report: the sequence that a Celery task runs.

Three of these overlap: while one computes, the one before it is being finished and the one after
it fetches its sources. Only the engine is exclusive.
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import structlog

from trackfarm.wire import (
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
from trackfarm_worker.board import Board, ShardInFlight
from trackfarm_worker.client import (
    NotOurs,
    NotWelcome,
    Rejected,
    SchedulerAway,
    SchedulerClient,
)
from trackfarm_worker.engine.messages import EngineTrack, Event, Failed, Finished, Progress
from trackfarm_worker.engine.process import EngineProcess
from trackfarm_worker.engine.supervisor import EngineStartFailed
from trackfarm_worker.finisher import Finisher
from trackfarm_worker.labels import Origin
from trackfarm_worker.outbox import Outbox
from trackfarm_worker.sources.answers import SourceAway, SourceRefused
from trackfarm_worker.sources.room import Prepared, SourceRoom

log = structlog.get_logger(__name__)
CLAIM_TRIES, CLAIM_PAUSE = 5, 0.5
DELIVERY_SECONDS = 600.0  # the longest that a shard waits for a scheduler that is away


class ShardRunner:
    """Runs shards; thread-safe. `on_engine_lost` is called when no engine can be had any more."""

    def __init__(
        self,
        *,
        client: SchedulerClient,
        board: Board,
        engine: EngineProcess,
        finisher: Finisher,
        sources: SourceRoom,
        outbox: Outbox,
        finishing: ThreadPoolExecutor,
        on_engine_lost: Callable[[str], None],
        on_unwelcome: Callable[[str], None],
    ) -> None:
        self._client = client
        self._board = board
        self._engine = engine
        self._finisher = finisher
        self._sources = sources
        self._outbox = outbox
        self._finishing = finishing
        self._on_engine_lost = on_engine_lost
        self._on_unwelcome = on_unwelcome

    def run(self, shard_id: str, lease_id: str) -> None:
        claim = self._claim(shard_id, lease_id)
        if claim is None:
            return
        with self._board.entered(claim) as shard:
            unfinished = self._fetch_and_make(shard)
            shard.stage = Stage.FINISHING
            self._outbox.wait_until_delivered(lease_id, DELIVERY_SECONDS)
            self._hand_back(shard, unfinished)

    def _claim(self, shard_id: str, lease_id: str) -> ClaimAnswer | None:
        """The shard, or None when it is not (or no longer) to be had."""
        for attempt in range(CLAIM_TRIES):
            try:
                answer = self._client.claim(shard_id, ClaimRequest(lease_id=lease_id))
            except SchedulerAway as error:
                log.warning("claim_failed", shard=shard_id, error=str(error))
                time.sleep(CLAIM_PAUSE * 2**attempt)
            except (NotWelcome, Rejected) as error:
                if isinstance(error, NotWelcome):
                    self._on_unwelcome(str(error))
                log.warning("claim_rejected", shard=shard_id, error=str(error))
                return None
            else:
                if isinstance(answer, NotOurs):
                    log.info("shard_not_ours", shard=shard_id, reason=answer.reason)
                    return None
                return answer
        return None

    def _fetch_and_make(self, shard: ShardInFlight) -> set[int]:
        """Sees the shard through; returns the tracks that have no result."""
        if shard.stop_reason is not None:
            return set(shard.track_ids)
        shard.stage = Stage.FETCHING

        def is_stopped() -> bool:
            return shard.stop_reason is not None

        lease = shard.claim.lease_id
        with self._sources.prepared(lease, shard.claim.tracks, is_stopped) as found:
            shard.stage = Stage.WAITING
            if is_stopped():
                return set(shard.track_ids)
            ready = {i: answer for i, answer in found.items() if isinstance(answer, Prepared)}
            for track_id, answer in found.items():
                if not isinstance(answer, Prepared):
                    self._put(shard, _without_source(track_id, answer))
            return self._make(shard, ready)

    def _make(self, shard: ShardInFlight, ready: Mapping[int, Prepared]) -> set[int]:
        """Computes and finishes the tracks that are ready; returns those that have no result."""
        orders = {order.track_id: order for order in shard.claim.tracks if order.track_id in ready}
        if not orders:
            return set()
        pending: list[Future[int | None]] = []

        def hear(event: Event) -> None:
            match event:
                case Progress():
                    shard.stage, shard.step, shard.steps = (
                        Stage.COMPUTING,
                        event.step,
                        event.steps,
                    )
                case Finished():
                    order, fetch = orders[event.track_id], ready[event.track_id].seconds
                    pending.append(self._finishing.submit(self._finish, shard, order, event, fetch))
                case Failed():
                    self._put(shard, _as_failed(event, ready[event.track_id].seconds))

        try:
            wanted = [_engine_track(order, ready[i]) for i, order in orders.items()]
            results = self._engine.run(wanted, hear)
        except EngineStartFailed as error:
            shard.stop_reason = ReleaseReason.ENGINE_UNAVAILABLE
            self._on_engine_lost(str(error))
            results = []
        shard.stage = Stage.FINISHING
        answered = {r.track_id for r in results if isinstance(r, Failed)}
        answered |= {track_id for future in pending if (track_id := future.result()) is not None}
        return set(orders) - answered

    def _finish(
        self, shard: ShardInFlight, order: TrackOrder, audio: Finished, fetch: float
    ) -> int | None:
        """Finishes one track; its id when the outbox has a result, None when it was dropped."""
        if shard.is_dead:
            audio.path.unlink(missing_ok=True)
            return None
        result = self._finisher.finish(
            shard.newest.get(order.track_id, order),
            audio,
            Origin(shard.claim.job_id, shard.claim.model_set),
            renew_url=lambda track_id: self._renewed(shard, track_id),
            in_hurry=lambda: shard.stop_reason is not None,
        )
        timings = result.timings.model_copy(
            update={"service": audio.timings.service, "fetch": fetch}
        )
        self._put(shard, result.model_copy(update={"timings": timings}))
        shard.finished += 1
        return order.track_id

    def _renewed(self, shard: ShardInFlight, track_id: int) -> TrackOrder | None:
        """Claims again what we hold: the answer carries fresh upload URLs, for its other tracks
        too."""
        answer = self._claim(shard.claim.shard_id, shard.claim.lease_id)
        if answer is None:
            return None
        shard.newest = {order.track_id: order for order in answer.tracks}
        return shard.newest.get(track_id)

    def _put(self, shard: ShardInFlight, result: TrackDone | TrackFailed) -> None:
        self._outbox.put(shard.claim.shard_id, shard.claim.lease_id, result)

    def _hand_back(self, shard: ShardInFlight, unfinished: set[int]) -> None:
        """Gives back what was not made, so that it is placed again at once."""
        if not unfinished or shard.is_dead:
            return
        reason = shard.stop_reason or ReleaseReason.STOPPED
        request = ReleaseRequest(
            lease_id=shard.claim.lease_id, track_ids=sorted(unfinished), reason=reason
        )
        try:
            self._client.release(shard.claim.shard_id, request)
        except (SchedulerAway, NotWelcome, Rejected) as error:
            log.warning("release_failed", shard=shard.claim.shard_id, error=str(error))


def _engine_track(order: TrackOrder, prepared: Prepared) -> EngineTrack:
    brief = order.brief
    return EngineTrack(
        track_id=order.track_id,
        prompt=brief.prompt,
        duration=brief.duration,
        seed=order.seed,
        seeds=(order.seed, *order.next_seeds),
        lyrics=brief.lyrics,
        bpm=brief.bpm,
        key_scale=brief.key_scale,
        time_signature=brief.time_signature,
        vocal_language=brief.vocal_language,
        steps=brief.inference_steps,
        guidance=brief.guidance_scale,
        shift=brief.shift,
        task_type=brief.task_type,
        source=prepared.source,
        reference=prepared.reference,
        audio_codes=brief.audio_code_string,
        cover_strength=brief.audio_cover_strength,
        repainting_start=brief.repainting_start,
        repainting_end=brief.repainting_end,
        track_name=brief.track_name,
        track_classes=brief.track_classes,
        loudness_lufs=brief.loudness_lufs,
    )


def _without_source(track_id: int, answer: SourceRefused | SourceAway) -> TrackFailed:
    match answer:
        case SourceRefused():
            kind = FailureKind.BAD_INPUT
        case SourceAway(is_disk_full=True):
            kind = FailureKind.DISK_FULL
        case SourceAway():
            kind = FailureKind.SOURCE_UNREACHABLE
    return TrackFailed(track_id=track_id, kind=kind, message=answer.message[:4000])


def _as_failed(event: Failed, fetch: float) -> TrackFailed:
    seconds = event.timings
    return TrackFailed(
        track_id=event.track_id,
        kind=event.kind,
        message=event.message[:4000],
        timings=Timings(
            service=seconds.service,
            fetch=fetch,
            condition=seconds.condition,
            denoise=seconds.denoise,
            decode=seconds.decode,
        ),
    )
