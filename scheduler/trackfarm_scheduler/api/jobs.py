"""Jobs API: submit, list, pause, resume, cancel, retry and remove; the tracks of a job, and the state
of the farm."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sqlmodel import Session

from trackfarm import __version__
from trackfarm.protocol import operator as operator_api
from trackfarm.protocol.operator import API_PREFIX
from trackfarm_scheduler import views
from trackfarm_scheduler.api import submissions
from trackfarm_scheduler.api.audited import audited_transaction
from trackfarm_scheduler.api.auth import Operator, Reader, Submitter, TheServices
from trackfarm_scheduler.api.errors import ApiError
from trackfarm_scheduler.api.idempotency import RepeatableRoute
from trackfarm_scheduler.api.pagination import (
    JobFilter,
    TrackFilter,
    decode_cursor,
    encode_cursor,
    labels_of,
    set_next_link,
)
from trackfarm_scheduler.db import job_counts, jobs, track_list, workers
from trackfarm_scheduler.db.tables import JobRow
from trackfarm_scheduler.policy.identity import Caller
from trackfarm_scheduler.services import Services


def find_job(session: Session, caller: Caller, reference: str) -> JobRow:
    """Return the caller's job with this id or beginning of an id. Raises ApiError (404, 409)."""
    matches = jobs.find(session, reference, owner=caller.sees)
    if not matches:
        raise ApiError(404, f"there is no job {reference}; `trackfarm jobs` lists them")
    if len(matches) > 1:
        raise ApiError(409, f"{reference} matches several jobs; give more of the id")
    return matches[0]


router = APIRouter(prefix=API_PREFIX, tags=["operator"], route_class=RepeatableRoute)
DOWNLOAD_URL_SECONDS = 3600


@router.post("/jobs", status_code=201)
async def submit(
    request: Request, response: Response, services: TheServices, caller: Submitter
) -> operator_api.SubmitAnswer:
    """Submit a catalog as newline-delimited JSON: a job header, then one brief per line.

    Returns 201 for a new job, or 200 if the same catalog was submitted before. If any line is
    invalid, nothing is stored.
    """
    sealed = await submissions.receive(services, caller, request.stream())
    services.placer_loop.wake()
    services.completer_loop.wake()
    if sealed.already_submitted:
        response.status_code = 200
    return operator_api.SubmitAnswer(
        job=_view(services, caller, sealed.job_id),
        already_submitted=sealed.already_submitted,
        revived_tracks=sealed.taken_over,
    )


@router.get("/jobs")
def list_jobs(
    request: Request,
    response: Response,
    services: TheServices,
    caller: Reader,
    filters: Annotated[JobFilter, Query()],
) -> list[operator_api.JobInfo]:
    """List jobs, newest first. `since` and `until` filter by the creation time."""
    now = services.clock()
    before = decode_cursor(filters.cursor, [float, str]) if filters.cursor else None
    with services.database.read() as session:
        live = workers.list_live(session)
        rows = jobs.list_newest(
            session,
            filters.limit,
            owner=caller.sees,
            states=filters.state,
            catalog=filters.catalog,
            labels=labels_of(filters.tag),
            between=filters.between,
            before=before,
        )
        if len(rows) == filters.limit:
            last = rows[-1]
            set_next_link(request, response, cursor=encode_cursor(last.created_at, last.id))
        return [views.job_view(session, job, live, now) for job in rows]


@router.get("/jobs/{reference}")
def show_job(reference: str, services: TheServices, caller: Reader) -> operator_api.JobInfo:
    """Return a job, given by its id or the beginning of its id."""
    return _view(services, caller, reference)


@router.post("/jobs/{reference}/pause")
def pause(reference: str, services: TheServices, caller: Operator) -> operator_api.JobInfo:
    """Pause a running job; shards in progress stop at their next step."""
    return _change(services, caller, "job.pause", reference, jobs.pause)


@router.post("/jobs/{reference}/resume")
def resume(
    reference: str,
    services: TheServices,
    caller: Operator,
    budget: Annotated[float | None, Query(gt=0)] = None,
) -> operator_api.JobInfo:
    """Resume a job that is paused or out of budget. `budget` (US dollars) replaces the old one."""
    return _change(services, caller, "job.resume", reference, partial(jobs.resume, budget=budget))


@router.post("/jobs/{reference}/cancel")
def cancel(reference: str, services: TheServices, caller: Operator) -> operator_api.JobInfo:
    """Cancel a job; its finished tracks stay."""
    return _change(services, caller, "job.cancel", reference, jobs.cancel)


@router.post("/jobs/{reference}/retry")
def retry(reference: str, services: TheServices, caller: Operator) -> operator_api.JobInfo:
    """Make the failed and cancelled tracks of a job again."""
    return _change(services, caller, "job.retry", reference, jobs.retry)


@router.delete("/jobs/{reference}", status_code=202)
def remove(reference: str, services: TheServices, caller: Operator) -> operator_api.JobInfo:
    """Delete an ended job with its files, except tracks that other jobs share.

    Returns the job as it was. Deletion runs in the background.
    """
    job = _view(services, caller, reference)
    with audited_transaction(services, caller.actor, "job.remove", job.id) as change:
        jobs.remove(change.session, find_job(change.session, caller, job.id), services.clock())
    return job


@router.get("/jobs/{reference}/tracks")
def list_tracks(
    reference: str, services: TheServices, caller: Reader, filters: Annotated[TrackFilter, Query()]
) -> operator_api.TrackPage:
    """List tracks in the order of the catalog, starting after the ordinal `after`.

    `since` and `until` filter by the time when a track ended. URLs of files are valid for one hour.
    """
    with services.database.read() as session:
        job = find_job(session, caller, reference)
        rows = track_list.list_page(
            session,
            job.id,
            after=filters.after,
            limit=filters.limit,
            states=filters.state,
            labels=labels_of(filters.tag),
            between=filters.between,
        )
        page = [
            track_list.view(*row, _download_url(services, row[2].object_key) if row[2] else None)
            for row in rows
        ]
    return operator_api.TrackPage(
        tracks=page, next=page[-1].ordinal if len(page) == filters.limit else None
    )


def _download_url(services: Services, key: str) -> str:
    return services.objects.presign_get(key, expires=timedelta(seconds=DOWNLOAD_URL_SECONDS)).url


@router.get("/status")
def status(services: TheServices, caller: Reader) -> operator_api.FarmStatus:
    """Return the number of jobs, tracks and workers by state, and whether the broker is up."""
    with services.database.read() as session:
        worker_counts: dict[str, int] = {}
        for worker in workers.list_present(session):
            worker_counts[worker.state] = worker_counts.get(worker.state, 0) + 1
        return operator_api.FarmStatus(
            version=__version__,
            jobs=jobs.count_by_state(session, owner=caller.sees),
            tracks=job_counts.count_all(session, owner=caller.sees),
            workers=worker_counts,
            broker_ok=services.broker.is_up(),
        )


def _change(
    services: Services,
    caller: Caller,
    action: str,
    reference: str,
    change: Callable[[Session, JobRow, float], object],
) -> operator_api.JobInfo:
    with audited_transaction(services, caller.actor, action, reference) as audited:
        job = find_job(audited.session, caller, reference)
        audited.target = job.id
        change(audited.session, job, services.clock())
    services.placer_loop.wake()
    services.completer_loop.wake()
    return _view(services, caller, job.id)


def _view(services: Services, caller: Caller, reference: str) -> operator_api.JobInfo:
    with services.database.read() as session:
        job = find_job(session, caller, reference)
        return views.job_view(session, job, workers.list_live(session), services.clock())
