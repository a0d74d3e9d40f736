"""The wire contract's server side: register, claim, heartbeat, report, release, leave."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy import bindparam, select
from sqlmodel import Session, col

from trackfarm.api import JobState
from trackfarm.catalog import Brief
from trackfarm.identity import next_seeds
from trackfarm.model_sets import UnknownModelSet, model_set
from trackfarm.tiers import tier_of
from trackfarm.wire import (
    PREFIX,
    ClaimAnswer,
    ClaimRequest,
    Command,
    CommandKind,
    HeartbeatAnswer,
    HeartbeatRequest,
    LeaveRequest,
    RegisterAnswer,
    RegisterRequest,
    ReleaseRequest,
    ReportAnswer,
    ReportRequest,
    ShardProgress,
    TrackOrder,
)
from trackfarm_scheduler.api.auth import CallingWorker, TheBadges, TheFarm, joining
from trackfarm_scheduler.api.problems import Refused
from trackfarm_scheduler.farm import Farm
from trackfarm_scheduler.leases import ClaimFacts, ClaimVerdict, judge_claim
from trackfarm_scheduler.machines import AttemptState, LeaseState
from trackfarm_scheduler.objects.sources import source_urls
from trackfarm_scheduler.pulse import Pulse
from trackfarm_scheduler.store import leases, workers
from trackfarm_scheduler.store.tables import Attempt, Job, Lease, Track, Worker

router = APIRouter(prefix=PREFIX, tags=["worker"])
_OPEN = (
    select(Attempt, Track)
    .join(Track, col(Track.id) == col(Attempt.track_id))
    .where(col(Attempt.lease_id) == bindparam("lease"), col(Attempt.state) == AttemptState.OPEN)
    .order_by(col(Attempt.track_id))
)


async def the_pulse(request: Request) -> Pulse:
    pulse: Pulse = request.app.state.pulse
    return pulse


ThePulse = Annotated[Pulse, Depends(the_pulse)]


@router.post("/register", dependencies=[Depends(joining)])
def register(request: RegisterRequest, farm: TheFarm) -> RegisterAnswer:
    """Exchanges the join token for a worker's own id, token and queue."""
    try:
        model_set(request.model_set)
    except UnknownModelSet as error:
        raise Refused(422, str(error)) from error
    tier = tier_of(request.memory_mib)
    if tier is None:
        raise Refused(422, f"{request.memory_mib} MiB is below the smallest tier (4 GB)")
    with farm.database.write() as session:
        joined = workers.join(session, request, tier, farm.clock())
        present = workers.count_live(session)
    return RegisterAnswer(
        worker_id=joined.worker_id,
        token=joined.token,
        queue=joined.queue,
        broker_url=farm.settings.broker_url.get_secret_value(),
        intervals=farm.intervals(present),
    )


@router.post("/shards/{shard_id}/claim", response_model=ClaimAnswer)
def claim(shard_id: str, request: ClaimRequest, farm: TheFarm, worker: CallingWorker) -> Response:
    """Gives a shard to the worker. Claiming again renews the upload URLs."""
    now = farm.clock()
    with farm.database.write() as session:
        lease = leases.get(session, request.lease_id, lock=True)
        if lease is None or lease.shard_id != shard_id:
            raise Refused(409, "there is no such offer")
        _require_claimable(session, lease, worker)
        leases.claim(
            session,
            lease,
            worker_id=worker.id,
            now=now,
            lease_seconds=farm.settings.lost_after_seconds,
        )
        ttl = farm.settings.url_ttl_seconds
        leases.note_urls(session, lease.id, now + ttl)
        owner = _owner(session, lease)
        orders = [
            _order(farm, attempt, track, owner, ttl) for attempt, track in _open(session, lease)
        ]
    answer = ClaimAnswer(
        shard_id=shard_id,
        lease_id=lease.id,
        job_id=lease.job_id,
        model_set=worker.model_set,
        lease_seconds=farm.settings.lost_after_seconds,
        tracks=orders,
    )
    # Sent as it is: FastAPI would check every brief of it once more.
    return Response(answer.model_dump_json(), media_type="application/json")


def _require_claimable(session: Session, lease: Lease, worker: Worker) -> None:
    job = session.get(Job, lease.job_id)
    facts = ClaimFacts(
        lease=LeaseState(lease.state),
        holder=lease.worker_id,
        queue=lease.queue,
        job=JobState(job.state) if job else JobState.CANCELLED,
    )
    match judge_claim(facts, worker_id=worker.id, worker_queue=worker.queue):
        case ClaimVerdict.CANCELLED:
            raise Refused(410, "the job was cancelled")
        case ClaimVerdict.NOT_YOURS:
            raise Refused(409, "the shard is not yours any more")
        case ClaimVerdict.GRANTED:
            return


def _open(session: Session, lease: Lease) -> list[tuple[Attempt, Track]]:
    rows = session.execute(_OPEN, {"lease": lease.id})
    return [(attempt, track) for attempt, track in rows]


def _owner(session: Session, lease: Lease) -> str:
    job = session.get_one(Job, lease.job_id)
    return job.owner


def _order(farm: Farm, attempt: Attempt, track: Track, owner: str, ttl: float) -> TrackOrder:
    lifetime = timedelta(seconds=ttl)
    brief = Brief.model_validate_json(track.brief)
    upload = farm.objects.presign_put(attempt.object_key, expires=lifetime)
    return TrackOrder(
        track_id=attempt.track_id,
        key=track.key,
        seed=attempt.seed,
        next_seeds=next_seeds(track.key, attempt.seed, tries=attempt.try_number, given=brief.seed),
        brief=brief,
        object_key=attempt.object_key,
        upload_url=upload.url,
        upload_headers=dict(upload.headers),
        source_urls=source_urls(farm.objects, brief, owner, expires=lifetime),
    )


@router.post("/heartbeat")
async def heartbeat(
    request: HeartbeatRequest, farm: TheFarm, pulse: ThePulse, worker: CallingWorker
) -> HeartbeatAnswer:
    """Extends what the worker still holds and tells it to stop what it does not."""
    standing = await pulse.beat(worker.id, request)
    seconds = farm.settings.lost_after_seconds
    held = {s.lease_id for s in request.shards if (worker.id, s.lease_id) in standing.held}
    return HeartbeatAnswer(
        leases=dict.fromkeys(held, seconds),
        commands=[c for s in request.shards if (c := _command(s, held, standing.paused))],
        intervals=farm.intervals(standing.workers),
    )


def _command(shard: ShardProgress, held: set[str], paused: frozenset[str]) -> Command | None:
    if shard.lease_id in held and shard.lease_id not in paused:
        return None
    reason = "the job is paused" if shard.lease_id in paused else "the lease has ended"
    return Command(
        kind=CommandKind.STOP_SHARD,
        shard_id=shard.shard_id,
        lease_id=shard.lease_id,
        reason=reason,
    )


@router.post("/shards/{shard_id}/report")
def report(
    shard_id: str, request: ReportRequest, farm: TheFarm, worker: CallingWorker
) -> ReportAnswer:
    """Verifies and commits results; may be repeated, and may come in parts."""
    verdicts = farm.recorder.record(worker, request.lease_id, request)
    farm.placing.wake()
    farm.settling.wake()
    return ReportAnswer(tracks=verdicts)


@router.post("/shards/{shard_id}/release")
def release(
    shard_id: str, request: ReleaseRequest, farm: TheFarm, worker: CallingWorker
) -> dict[str, int]:
    """Takes unfinished tracks back; they are placed again at once."""
    with farm.database.write() as session:
        lease = leases.get(session, request.lease_id, lock=True)
        if lease is None or lease.worker_id != worker.id or lease.shard_id != shard_id:
            raise Refused(409, "the shard is not yours any more")
        back = leases.release(session, lease, request.track_ids, request.reason, farm.clock())
    farm.placing.wake()
    return {"released": back}


@router.post("/leave")
def leave(
    request: LeaveRequest, farm: TheFarm, badges: TheBadges, worker: CallingWorker
) -> dict[str, str]:
    """Ends a worker; whatever it still held is pending again."""
    with farm.database.write() as session:
        workers.leave(session, worker.id, farm.clock(), reason=request.reason)
    badges.forget(worker.id)
    farm.placing.wake()
    return {"worker_id": worker.id}
