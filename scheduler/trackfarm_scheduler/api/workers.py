"""The operator's calls about workers: who there is, who may join, who has to go."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from trackfarm import api
from trackfarm.api import PREFIX
from trackfarm_scheduler import views
from trackfarm_scheduler.api.access import end_access
from trackfarm_scheduler.api.auth import Operator, Reader, TheBadges, TheFarm
from trackfarm_scheduler.api.changes import changing
from trackfarm_scheduler.api.filters import WorkerFilter
from trackfarm_scheduler.api.paging import cursor_of, lead_on, place_of
from trackfarm_scheduler.api.problems import Refused
from trackfarm_scheduler.store import invitations, joining, workers
from trackfarm_scheduler.store.tables import Worker

router = APIRouter(prefix=f"{PREFIX}/workers", tags=["workers"])


@router.get("")
def list_workers(
    request: Request,
    response: Response,
    farm: TheFarm,
    _caller: Reader,
    wanted: Annotated[WorkerFilter, Query()],
) -> list[api.Worker]:
    """Those that are here, oldest first; by `state` also those that have left."""
    behind = place_of(wanted.cursor, [float, str]) if wanted.cursor else None
    with farm.database.read() as session:
        found = workers.page(
            session,
            wanted.limit,
            states=wanted.state,
            model_set=wanted.model_set,
            between=wanted.between,
            behind=behind,
        )
        if len(found) == wanted.limit:
            lead_on(request, response, cursor=cursor_of(found[-1].joined_at, found[-1].id))
        return views.worker_views(session, found, farm.clock())


@router.post("/invitations", status_code=201)
def invite(request: api.InvitationRequest, farm: TheFarm, caller: Operator) -> api.Invited:
    """Makes a token with which machines may join; it is told in this answer and never again."""
    with changing(farm, caller.actor, "invitation.make", request.note) as change:
        made = invitations.make(change.session, request, farm.clock(), made_by=caller.owner)
        change.target = made.invitation.id
    return api.Invited(token=made.token, invitation=invitations.view(made.invitation))


@router.get("/invitations")
def list_invitations(
    farm: TheFarm, _caller: Operator, limit: Annotated[int, Query(ge=1, le=1000)] = 200
) -> list[api.Invitation]:
    with farm.database.read() as session:
        return [invitations.view(row) for row in invitations.newest(session, limit)]


@router.delete("/invitations/{invitation_id}")
def revoke(invitation_id: str, farm: TheFarm, caller: Operator) -> api.Invitation:
    """Lets nobody join by it any more; who has joined stays."""
    with changing(farm, caller.actor, "invitation.revoke", invitation_id) as change:
        row = invitations.revoke(change.session, invitation_id, farm.clock())
        if row is None:
            raise Refused(404, f"there is no invitation {invitation_id}")
    return invitations.view(row)


@router.post("/{worker_id}/drain")
def drain(worker_id: str, farm: TheFarm, caller: Operator) -> api.Worker:
    """Gives a worker nothing new; it leaves when it has finished what it has."""
    with changing(farm, caller.actor, "worker.drain", worker_id) as change:
        row = change.session.get(Worker, worker_id)
        if row is None:
            raise Refused(404, f"there is no worker {worker_id}; `trackfarm workers` lists them")
        workers.drain(change.session, worker_id, farm.clock())
        change.session.refresh(row)
        drained = views.worker_view(row, 0, farm.clock())
    farm.placing.wake()
    return drained


@router.delete("/{worker_id}")
def remove(worker_id: str, farm: TheFarm, badges: TheBadges, caller: Operator) -> api.Worker:
    """Ends a worker for good: its tokens are void, what it held is placed again."""
    with changing(farm, caller.actor, "worker.remove", worker_id) as change:
        row = joining.remove(change.session, worker_id, farm.clock())
        if row is None:
            raise Refused(404, f"there is no worker {worker_id}; `trackfarm workers` lists them")
        ended = views.worker_view(row, 0, farm.clock())
    end_access(farm, badges, worker_id)
    return ended
