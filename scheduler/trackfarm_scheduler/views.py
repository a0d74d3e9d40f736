"""Conversion of rows to the operator API's models."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlmodel import Session

from trackfarm.cost import TrackShape
from trackfarm.model_sets import model_set
from trackfarm.protocol import operator as operator_api
from trackfarm.protocol.accounts import ApiKeyInfo, AuditEntry
from trackfarm.protocol.operator import JobState, WorkerState
from trackfarm_scheduler.db import api_keys, job_counts, leases, speeds
from trackfarm_scheduler.db.tables import JobRow, WorkerRow
from trackfarm_scheduler.db.tables_access import ApiKeyRow, AuditRow

RATE_WINDOW = 600.0  # seconds over which tracks per hour are measured


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def at_or_none(seconds: float | None) -> datetime | None:
    return None if seconds is None else at(seconds)


def job_view(
    session: Session, job: JobRow, live: Sequence[WorkerRow], now: float
) -> operator_api.JobInfo:
    counts, audio_done = job_counts.count_requested(session, job.id)
    eligible = [w for w in live if w.model_set == job.model_set]
    rate = _tracks_per_hour(session, job, now)
    eta = _eta(session, job, eligible, counts, rate)
    return operator_api.JobInfo(
        id=job.id,
        catalog=job.catalog,
        model_set=job.model_set,
        is_noise=model_set(job.model_set).is_noise,
        state=JobState(job.state),
        priority=job.priority,
        lane=job.lane,
        deadline=at_or_none(job.deadline),
        budget=job.budget,
        spent=job.spent,
        reason=job.reason,
        tracks=counts,
        new_tracks=job.new_tracks,
        audio_seconds=job.audio_seconds,
        audio_seconds_done=audio_done,
        created_at=at(job.created_at),
        started_at=at_or_none(job.started_at),
        finished_at=at_or_none(job.finished_at),
        tracks_per_hour=rate,
        eta_seconds=eta,
        eligible_workers=len(eligible),
        plan=json.loads(job.plan) if job.plan else None,
        notice=_notice(job, eligible, eta, now),
    )


def _notice(job: JobRow, eligible: Sequence[WorkerRow], eta: float | None, now: float) -> str:
    """Return the reason a job makes no progress or will be late, as text for the operator."""
    if JobState(job.state).ended:
        return ""
    if not eligible:
        return f"no live worker serves model set {job.model_set}"
    late = now + (eta or 0.0) - job.deadline if job.deadline is not None else 0.0
    if late > 0:
        return f"the deadline will be missed by about {late / 60:.0f} min at this speed"
    return ""


def _tracks_per_hour(session: Session, job: JobRow, now: float) -> float | None:
    """Return the rate of the job's own work over the last minutes; None before the first track."""
    if job.started_at is None:
        return None
    until = job.finished_at or now
    since = max(job.started_at, until - RATE_WINDOW)
    done = job_counts.count_done_since(session, job.id, since)
    return 3600 * done / max(until - since, 1e-3) if done else None


def _eta(
    session: Session,
    job: JobRow,
    eligible: Sequence[WorkerRow],
    counts: operator_api.TrackCounts,
    rate: float | None,
) -> float | None:
    """Return the seconds to the end: the remaining tracks at the measured rate, or by the cost
    model before there is one."""
    remaining = counts.pending + counts.leased
    if JobState(job.state) not in (JobState.ACCEPTED, JobState.RUNNING):
        return None
    if rate:
        return 3600 * remaining / rate
    if not eligible:
        return None
    kind = model_set(job.model_set)
    shape = TrackShape(job.audio_seconds / max(job.track_count, 1), kind.default_steps, kind.cfg)
    speed_of: dict[str, float] = {}
    for worker in eligible:
        speed_of[worker.gpu] = speed_of.get(worker.gpu, 0.0) + worker.speed
    per_second = sum(
        speed / speeds.load_model(session, gpu, kind).predict(shape).mean
        for gpu, speed in speed_of.items()
    )
    return remaining / per_second


def key_view(row: ApiKeyRow) -> ApiKeyInfo:
    return ApiKeyInfo(
        id=row.id,
        name=row.name,
        owner=row.owner,
        scopes=api_keys.scopes_of(row),
        rate=row.rate,
        most_tracks=row.most_tracks,
        made_at=at(row.made_at),
        expires_at=at_or_none(row.expires_at),
        revoked_at=at_or_none(row.revoked_at),
        last_used_at=at_or_none(row.last_used_at),
    )


def audit_view(row: AuditRow) -> AuditEntry:
    return AuditEntry(
        id=row.id or 0,
        at=at(row.at),
        key_id=row.key_id,
        key_name=row.key_name,
        worker_id=row.worker_id,
        address=row.address,
        action=row.action,
        target=row.target,
        outcome=row.outcome,
        request_id=row.request_id,
    )


def worker_views(
    session: Session, rows: Sequence[WorkerRow], now: float
) -> list[operator_api.WorkerInfo]:
    shards = leases.count_live_by_worker(session)
    return [worker_view(row, shards.get(row.id, 0), now) for row in rows]


def worker_view(row: WorkerRow, shards: int, now: float) -> operator_api.WorkerInfo:
    return operator_api.WorkerInfo(
        id=row.id,
        name=row.name,
        state=WorkerState(row.state),
        gpu=row.gpu,
        memory_mib=row.memory_mib,
        tier=row.tier,
        model_set=row.model_set,
        provider=row.provider,
        queue=row.queue,
        price_per_hour=row.price_per_hour,
        shards=shards,
        tracks_done=row.tracks_done,
        tracks_failed=row.tracks_failed,
        seconds_since_heartbeat=max(0.0, now - row.last_seen),
        engine_restarts=row.engine_restarts,
        strikes=row.strikes,
        speed=row.speed,
    )
