"""Management of workers and invitations by operators."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from trackfarm.protocol import operator as operator_api
from trackfarm.protocol.operator import API_PREFIX, WorkerState
from trackfarm_scheduler import views
from trackfarm_scheduler.api.audited import audited_transaction
from trackfarm_scheduler.api.auth import Operator, Reader, TheServices, TheTokenCache
from trackfarm_scheduler.api.errors import ApiError
from trackfarm_scheduler.api.pagination import (
    WorkerFilter,
    decode_cursor,
    encode_cursor,
    set_next_link,
)
from trackfarm_scheduler.api.worker_api import revoke_access
from trackfarm_scheduler.db import invitations, registration, workers
from trackfarm_scheduler.db.tables import WorkerRow

router = APIRouter(prefix=f"{API_PREFIX}/workers", tags=["workers"])


@router.get("")
def list_workers(
    request: Request,
    response: Response,
    services: TheServices,
    _caller: Reader,
    filters: Annotated[WorkerFilter, Query()],
) -> list[operator_api.WorkerInfo]:
    """List workers, oldest first. Workers that have left are listed only if `state` is `gone`.

    `since` and `until` filter by the registration time.
    """
    behind = decode_cursor(filters.cursor, [float, str]) if filters.cursor else None
    with services.database.read() as session:
        rows = workers.list_page(
            session,
            filters.limit,
            states=filters.state,
            model_set=filters.model_set,
            between=filters.between,
            behind=behind,
        )
        if len(rows) == filters.limit:
            set_next_link(request, response, cursor=encode_cursor(rows[-1].joined_at, rows[-1].id))
        return views.worker_views(session, rows, services.clock())


@router.post("/invitations", status_code=201)
def invite(
    request: operator_api.InvitationRequest, services: TheServices, caller: Operator
) -> operator_api.Invited:
    """Create an invitation: a token with which machines can register as workers.

    The response is the only place that shows the token.
    """
    with audited_transaction(services, caller.actor, "invitation.make", request.note) as change:
        new = invitations.create(change.session, request, services.clock(), made_by=caller.owner)
        change.target = new.invitation.id
    return operator_api.Invited(token=new.token, invitation=invitations.view(new.invitation))


@router.get("/invitations")
def list_invitations(
    services: TheServices, _caller: Operator, limit: Annotated[int, Query(ge=1, le=1000)] = 200
) -> list[operator_api.InvitationInfo]:
    """List invitations without their tokens, newest first."""
    with services.database.read() as session:
        return [invitations.view(row) for row in invitations.list_newest(session, limit)]


@router.delete("/invitations/{invitation_id}")
def revoke(
    invitation_id: str, services: TheServices, caller: Operator
) -> operator_api.InvitationInfo:
    """Revoke an invitation; workers that have registered with it stay."""
    with audited_transaction(services, caller.actor, "invitation.revoke", invitation_id) as change:
        row = invitations.revoke(change.session, invitation_id, services.clock())
        if row is None:
            raise ApiError(404, f"there is no invitation {invitation_id}")
    return invitations.view(row)


@router.post("/{worker_id}/drain")
def drain(worker_id: str, services: TheServices, caller: Operator) -> operator_api.WorkerInfo:
    """Drain a worker: it gets no new work, and leaves once it has finished its shards."""
    with audited_transaction(services, caller.actor, "worker.drain", worker_id) as change:
        row = change.session.get(WorkerRow, worker_id)
        if row is None:
            raise ApiError(404, f"there is no worker {worker_id}; `trackfarm workers` lists them")
        workers.drain(change.session, worker_id, services.clock())
        change.session.refresh(row)
        if row.state != WorkerState.DRAINING:
            raise ApiError(
                409,
                f"{worker_id} is {row.state} and cannot drain;"
                f" `trackfarm workers remove {worker_id}` removes it",
            )
        worker = views.worker_view(row, 0, services.clock())
    services.placer_loop.wake()
    return worker


@router.delete("/{worker_id}")
def remove(
    worker_id: str, services: TheServices, token_cache: TheTokenCache, caller: Operator
) -> operator_api.WorkerInfo:
    """Remove a worker: its tokens become invalid, and the tracks it held are placed again."""
    with audited_transaction(services, caller.actor, "worker.remove", worker_id) as change:
        row = registration.remove(change.session, worker_id, services.clock())
        if row is None:
            raise ApiError(404, f"there is no worker {worker_id}; `trackfarm workers` lists them")
        worker = views.worker_view(row, 0, services.clock())
    revoke_access(services, token_cache, worker_id)
    return worker
