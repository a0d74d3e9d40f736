"""Worker API, server side: register, claim, report, release, leave.

Its routes have a thread pool of their own, so that a thousand reports never delay an operator's
requests, nor the other way round.
"""

from collections.abc import Callable, Coroutine
from datetime import timedelta
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar, cast

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel
from sqlmodel import Session

from trackfarm.catalog import Brief
from trackfarm.identity import next_seeds
from trackfarm.model_sets import UnknownModelSet, model_set
from trackfarm.protocol.operator import JobState
from trackfarm.protocol.worker import (
    WORKER_PREFIX,
    ClaimAnswer,
    ClaimRequest,
    LeaveRequest,
    RegisterAnswer,
    RegisterRequest,
    ReleaseRequest,
    ReportAnswer,
    ReportRequest,
    TrackOrder,
)
from trackfarm.tiers import Tier, tier_of
from trackfarm_scheduler.api.audited import audited_transaction
from trackfarm_scheduler.api.auth import (
    BEARER,
    JOIN_REFUSED,
    CallingWorker,
    JoiningToken,
    TheServices,
    TheTokenCache,
    worker_actor,
)
from trackfarm_scheduler.api.errors import ApiError
from trackfarm_scheduler.auth.credential_cache import TokenCache
from trackfarm_scheduler.db import jobs, leases, registration, workers
from trackfarm_scheduler.db.leases import OpenAttempt
from trackfarm_scheduler.db.registration import Admission
from trackfarm_scheduler.db.tables import LeaseRow, WorkerRow
from trackfarm_scheduler.objects.factory import source_urls
from trackfarm_scheduler.policy.leases import ClaimVerdict, judge_claim
from trackfarm_scheduler.policy.models import ClaimFacts
from trackfarm_scheduler.policy.states import LeaseState
from trackfarm_scheduler.results.foreign_lease import log_foreign_lease
from trackfarm_scheduler.services import Services

P = ParamSpec("P")
T = TypeVar("T")


def in_worker_pool(work: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Run a route in the thread pool of the workers; the route must have a parameter `services`."""

    @wraps(work)
    async def run(*args: P.args, **kwargs: P.kwargs) -> T:
        services = cast(Services, kwargs["services"])
        return await to_thread.run_sync(
            partial(work, *args, **kwargs), limiter=services.worker_threads
        )

    return run


def revoke_access(services: Services, token_cache: TokenCache, worker_id: str) -> None:
    """Revoke a departed worker's token and broker user at once, and wake the placer for the tracks
    it held.

    Call it once the database says that the worker has left.
    """
    token_cache.forget(worker_id)
    if services.users is not None:
        services.users.delete([worker_id])
    services.placer_loop.wake()


router = APIRouter(prefix=WORKER_PREFIX, tags=["worker"])


@router.post("/register")
@in_worker_pool
def register(
    body: RegisterRequest, services: TheServices, token_cache: TheTokenCache, token: JoiningToken
) -> RegisterAnswer:
    """Register a worker; returns its id, token, queue and broker credentials."""
    with services.database.write() as session:
        admitted = _admit(session, services, token, body.nonce)
        if admitted is None:
            raise ApiError(401, JOIN_REFUSED, headers=BEARER)
        # After the token check, so that an unknown caller learns nothing.
        tier = _required_tier(body)
        invitation, predecessor = admitted.invitation, admitted.predecessor
        joined = registration.join(session, body, tier, services.clock(), invitation=invitation)
        if predecessor is not None:
            registration.replace(session, predecessor, services.clock())
        live_workers = workers.count_live(session)
    if predecessor is not None:
        revoke_access(services, token_cache, predecessor.id)
    if services.users is not None:
        services.users.create([joined.broker_user])
    return RegisterAnswer(
        worker_id=joined.worker_id,
        token=joined.token,
        queue=joined.queue,
        broker_url=services.broker_url_for(joined.worker_id, joined.broker_password),
        intervals=services.intervals(live_workers),
    )


def _admit(session: Session, services: Services, token: str, nonce: str) -> Admission | None:
    join_token = services.settings.join_token.get_secret_value()
    return registration.admit(session, token, services.clock(), join_token=join_token, nonce=nonce)


def _required_tier(request: RegisterRequest) -> Tier:
    try:
        model_set(request.model_set)
    except UnknownModelSet as error:
        raise ApiError(422, str(error)) from error
    tier = tier_of(request.memory_mib)
    if tier is None:
        raise ApiError(422, f"{request.memory_mib} MiB is below the smallest tier (4 GB)")
    return tier


@router.post("/shards/{shard_id}/claim", response_model=ClaimAnswer)
@in_worker_pool
def claim(
    shard_id: str, request: ClaimRequest, services: TheServices, worker: CallingWorker
) -> Response:
    """Claim an offered shard; returns its tracks. Claiming it again renews the upload URLs."""
    now = services.clock()
    with services.database.write() as session:
        lease = leases.get(session, request.lease_id, lock=True)
        log_foreign_lease(worker, lease, "claim")
        if lease is None or lease.shard_id != shard_id:
            raise ApiError(409, "there is no such offer")
        job_state, owner = jobs.get_state_and_owner(session, lease.job_id)
        _require_claimable(lease, worker, job_state)
        leases.claim(
            session,
            lease,
            worker_id=worker.id,
            now=now,
            lease_seconds=services.settings.lost_after_seconds,
        )
        ttl = services.settings.url_ttl_seconds
        leases.record_url_expiry(session, lease.id, now + ttl)
        attempts = leases.list_open_attempts(session, lease.id)
    answer = ClaimAnswer(
        shard_id=shard_id,
        lease_id=lease.id,
        job_id=lease.job_id,
        model_set=worker.model_set,
        lease_seconds=services.settings.lost_after_seconds,
        tracks=[_order(services, attempt, owner, ttl) for attempt in attempts],
    )
    return _json_response(answer)


def _json_response(answer: BaseModel) -> Response:
    """Return a model as JSON, without FastAPI's second validation of every brief and verdict."""
    return Response(answer.model_dump_json(), media_type="application/json")


def _require_claimable(lease: LeaseRow, worker: WorkerRow, job: JobState) -> None:
    facts = ClaimFacts(
        lease=LeaseState(lease.state),
        holder=lease.worker_id,
        queue=lease.queue,
        job=job,
    )
    match judge_claim(facts, worker_id=worker.id, worker_queue=worker.queue):
        case ClaimVerdict.CANCELLED:
            raise ApiError(410, "the job was cancelled")
        case ClaimVerdict.NOT_YOURS:
            raise ApiError(409, "this worker no longer holds the shard")
        case ClaimVerdict.GRANTED:
            return


def _order(services: Services, attempt: OpenAttempt, owner: str, ttl: float) -> TrackOrder:
    lifetime = timedelta(seconds=ttl)
    brief = Brief.model_validate_json(attempt.brief)
    upload = services.objects.presign_put(attempt.object_key, expires=lifetime, once=True)
    return TrackOrder(
        track_id=attempt.track_id,
        key=attempt.key,
        seed=attempt.seed,
        next_seeds=next_seeds(
            attempt.key, attempt.seed, tries=attempt.try_number, brief_seed=brief.seed
        ),
        brief=brief,
        object_key=attempt.object_key,
        upload_url=upload.url,
        upload_headers=dict(upload.headers),
        source_urls=source_urls(services.objects, brief, owner, expires=lifetime),
    )


@router.post("/shards/{shard_id}/report", response_model=ReportAnswer)
@in_worker_pool
def report(
    shard_id: str, request: ReportRequest, services: TheServices, worker: CallingWorker
) -> Response:
    """Verify and commit results. A report may be repeated, and may be sent in parts."""
    verdicts = services.recorder.record(worker, request.lease_id, request)
    services.placer_loop.wake()
    services.completer_loop.wake()
    return _json_response(ReportAnswer(tracks=verdicts))


@router.post("/shards/{shard_id}/release")
@in_worker_pool
def release(
    shard_id: str, request: ReleaseRequest, services: TheServices, worker: CallingWorker
) -> dict[str, int]:
    """Release unfinished tracks of a shard; they are placed again at once."""
    with services.database.write() as session:
        lease = leases.get(session, request.lease_id, lock=True)
        if lease is None or lease.worker_id != worker.id or lease.shard_id != shard_id:
            log_foreign_lease(worker, lease, "release")
            raise ApiError(409, "this worker no longer holds the shard")
        released = leases.release(
            session, lease, request.track_ids, request.reason, services.clock()
        )
    services.placer_loop.wake()
    return {"released": released}


@router.post("/leave")
@in_worker_pool
def leave(
    body: LeaveRequest,
    request: Request,
    services: TheServices,
    token_cache: TheTokenCache,
    worker: CallingWorker,
) -> dict[str, str]:
    """Deregister the worker; tracks that it still held become pending again."""
    with audited_transaction(
        services, worker_actor(request, worker), "worker.leave", worker.id
    ) as change:
        workers.leave(change.session, worker.id, services.clock(), reason=body.reason)
    revoke_access(services, token_cache, worker.id)
    return {"worker_id": worker.id}
