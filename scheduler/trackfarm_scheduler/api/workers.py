"""The operator's calls about workers: who there is, who may join, who has to go."""

from typing import Annotated

from fastapi import APIRouter, Query

from trackfarm import api
from trackfarm.api import PREFIX
from trackfarm_scheduler import views
from trackfarm_scheduler.api.access import end_access
from trackfarm_scheduler.api.auth import Operator, TheBadges, TheFarm
from trackfarm_scheduler.api.problems import Refused
from trackfarm_scheduler.store import invitations, joining

router = APIRouter(prefix=f"{PREFIX}/workers", tags=["workers"])


@router.get("")
def list_workers(farm: TheFarm, _owner: Operator) -> list[api.Worker]:
    with farm.database.read() as session:
        return views.worker_views(session, farm.clock())


@router.post("/invitations", status_code=201)
def invite(request: api.InvitationRequest, farm: TheFarm, owner: Operator) -> api.Invited:
    """Makes a token with which machines may join; it is told in this answer and never again."""
    with farm.database.write() as session:
        made = invitations.make(session, request, farm.clock(), made_by=owner)
    return api.Invited(token=made.token, invitation=invitations.view(made.invitation))


@router.get("/invitations")
def list_invitations(
    farm: TheFarm, _owner: Operator, limit: Annotated[int, Query(ge=1, le=1000)] = 200
) -> list[api.Invitation]:
    with farm.database.read() as session:
        return [invitations.view(row) for row in invitations.newest(session, limit)]


@router.delete("/invitations/{invitation_id}")
def revoke(invitation_id: str, farm: TheFarm, _owner: Operator) -> api.Invitation:
    """Lets nobody join by it any more; who has joined stays."""
    with farm.database.write() as session:
        row = invitations.revoke(session, invitation_id, farm.clock())
        if row is None:
            raise Refused(404, f"there is no invitation {invitation_id}")
    return invitations.view(row)


@router.delete("/{worker_id}")
def remove(worker_id: str, farm: TheFarm, badges: TheBadges, _owner: Operator) -> api.Worker:
    """Ends a worker for good: its tokens are void, what it held is placed again."""
    with farm.database.write() as session:
        row = joining.remove(session, worker_id, farm.clock())
        if row is None:
            raise Refused(404, f"there is no worker {worker_id}; `trackfarm workers` lists them")
        ended = views.worker_view(row, 0, farm.clock())
    end_access(farm, badges, worker_id)
    return ended
