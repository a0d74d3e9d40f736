"""The operator's calls: submit, look, pause, resume, cancel, retry."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sqlmodel import Session

from trackfarm import __version__, api
from trackfarm.api import PREFIX, TrackState
from trackfarm_scheduler import views
from trackfarm_scheduler.access import Caller
from trackfarm_scheduler.api import submission
from trackfarm_scheduler.api.auth import Operator, Reader, Submitter, TheFarm
from trackfarm_scheduler.api.changes import changing
from trackfarm_scheduler.api.idempotency import RepeatableRoute
from trackfarm_scheduler.api.problems import Refused
from trackfarm_scheduler.farm import Farm
from trackfarm_scheduler.store import census, jobs, workers
from trackfarm_scheduler.store.tables import Job

router = APIRouter(prefix=PREFIX, tags=["operator"], route_class=RepeatableRoute)
DOWNLOAD_URL_SECONDS = 3600


@router.post("/jobs", status_code=201)
async def submit(
    request: Request, response: Response, farm: TheFarm, caller: Submitter
) -> api.SubmitAnswer:
    """Takes a catalog as newline-delimited JSON; 200 when the same one is there already."""
    sealed = await submission.receive(farm, caller, request.stream())
    farm.placing.wake()
    farm.settling.wake()
    if sealed.already_submitted:
        response.status_code = 200
    return api.SubmitAnswer(
        job=_view(farm, caller, sealed.job_id),
        already_submitted=sealed.already_submitted,
        revived_tracks=sealed.revived,
    )


@router.get("/jobs")
def list_jobs(
    farm: TheFarm, caller: Reader, limit: Annotated[int, Query(ge=1, le=500)] = 50
) -> list[api.Job]:
    now = farm.clock()
    with farm.database.read() as session:
        live = workers.live(session)
        newest = jobs.newest(session, limit, owner=caller.sees)
        return [views.job_view(session, job, live, now) for job in newest]


@router.get("/jobs/{reference}")
def show_job(reference: str, farm: TheFarm, caller: Reader) -> api.Job:
    return _view(farm, caller, reference)


@router.post("/jobs/{reference}/pause")
def pause(reference: str, farm: TheFarm, caller: Operator) -> api.Job:
    """Stops a running job; what is being computed stops at its next step."""
    return _change(farm, caller, "job.pause", reference, jobs.pause)


@router.post("/jobs/{reference}/resume")
def resume(
    reference: str,
    farm: TheFarm,
    caller: Operator,
    budget: Annotated[float | None, Query(gt=0)] = None,
) -> api.Job:
    """Lets a paused job, or one that is out of budget, go on; `budget` replaces the old one."""
    return _change(farm, caller, "job.resume", reference, partial(jobs.resume, budget=budget))


@router.post("/jobs/{reference}/cancel")
def cancel(reference: str, farm: TheFarm, caller: Operator) -> api.Job:
    """Ends a job; what is finished stays."""
    return _change(farm, caller, "job.cancel", reference, jobs.cancel)


@router.post("/jobs/{reference}/retry")
def retry(reference: str, farm: TheFarm, caller: Operator) -> api.Job:
    """Makes failed and cancelled tracks again."""
    return _change(farm, caller, "job.retry", reference, jobs.retry)


@router.delete("/jobs/{reference}", status_code=202)
def remove(reference: str, farm: TheFarm, caller: Operator) -> api.Job:
    """Removes an ended job for good: its rows and its files, but for what other jobs share. What is
    shown is the job as it was."""
    job = _view(farm, caller, reference)
    with changing(farm, caller.actor, "job.remove", job.id) as change:
        jobs.remove(change.session, _find(change.session, caller, job.id), farm.clock())
    return job


@router.get("/jobs/{reference}/tracks")
def list_tracks(
    reference: str,
    farm: TheFarm,
    caller: Reader,
    after: Annotated[int, Query(ge=0, le=2**53)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    state: TrackState | None = None,
) -> api.TrackPage:
    with farm.database.read() as session:
        job = _find(session, caller, reference)
        rows = views.track_page(session, job.id, after=after, limit=limit, state=state)
        page = [
            views.track_view(*row, _download_url(farm, row[2].object_key) if row[2] else None)
            for row in rows
        ]
    return api.TrackPage(tracks=page, next=page[-1].ordinal if len(page) == limit else None)


def _download_url(farm: Farm, key: str) -> str:
    return farm.objects.presign_get(key, expires=timedelta(seconds=DOWNLOAD_URL_SECONDS)).url


@router.get("/status")
def status(farm: TheFarm, caller: Reader) -> api.FarmStatus:
    with farm.database.read() as session:
        present: dict[str, int] = {}
        for worker in workers.all_present(session):
            present[worker.state] = present.get(worker.state, 0) + 1
        return api.FarmStatus(
            version=__version__,
            jobs=jobs.count_by_state(session, owner=caller.sees),
            tracks=census.of_farm(session, owner=caller.sees),
            workers=present,
            broker_ok=farm.broker.is_up(),
        )


@router.get("/events")
def list_events(
    farm: TheFarm,
    caller: Reader,
    job: str | None = None,
    after: Annotated[int, Query(ge=0, le=2**53)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> list[api.Event]:
    with farm.database.read() as session:
        job_id = _find(session, caller, job).id if job else None
        return views.event_views(session, job=job_id, after=after, limit=limit, owner=caller.sees)


def _change(
    farm: Farm,
    caller: Caller,
    action: str,
    reference: str,
    change: Callable[[Session, Job, float], object],
) -> api.Job:
    with changing(farm, caller.actor, action, reference) as done:
        job = _find(done.session, caller, reference)
        done.target = job.id
        change(done.session, job, farm.clock())
    farm.placing.wake()
    farm.settling.wake()
    return _view(farm, caller, job.id)


def _view(farm: Farm, caller: Caller, reference: str) -> api.Job:
    with farm.database.read() as session:
        job = _find(session, caller, reference)
        return views.job_view(session, job, workers.live(session), farm.clock())


def _find(session: Session, caller: Caller, reference: str) -> Job:
    found = jobs.find(session, reference, owner=caller.sees)
    if not found:
        raise Refused(404, f"there is no job {reference}; `trackfarm jobs` lists them")
    if len(found) > 1:
        raise Refused(409, f"{reference} is the beginning of several jobs; give more of it")
    return found[0]
