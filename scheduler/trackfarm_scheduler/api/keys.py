"""Access management by administrators: API keys and the audit log."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from trackfarm.protocol.accounts import ApiKeyInfo, AuditEntry, KeyRequest, NewApiKey
from trackfarm.protocol.operator import API_PREFIX
from trackfarm_scheduler import views
from trackfarm_scheduler.api.audited import audited_transaction
from trackfarm_scheduler.api.auth import Admin, TheKeyCache, TheServices
from trackfarm_scheduler.api.errors import ApiError
from trackfarm_scheduler.db import api_keys, audit
from trackfarm_scheduler.db.tables_access import ApiKeyRow

router = APIRouter(prefix=API_PREFIX, tags=["access"])


@router.post("/keys", status_code=201)
def create_key(
    body: KeyRequest, request: Request, services: TheServices, caller: Admin
) -> NewApiKey:
    """Create an API key. The secret is in this response only and is not stored.

    Idempotency-Key is therefore refused; repeating the request is safe all the same, because a name
    cannot be used again (409) while its key is valid.
    """
    if "idempotency-key" in request.headers:
        raise ApiError(
            400, "leave out Idempotency-Key: this response has a secret, which is not stored"
        )
    now = services.clock()
    with audited_transaction(services, caller.actor, "key.make", body.name) as change:
        if body.expires_at is not None and body.expires_at.timestamp() <= now:
            raise ApiError(422, "expires_at is in the past")
        if (same := api_keys.find_by_name(change.session, body.name, now)) is not None:
            raise ApiError(409, f"the key {body.name} exists already ({same.id}); revoke it first")
        row, secret = api_keys.create(change.session, body, now)
        change.target = row.id
        return NewApiKey(key=views.key_view(row), secret=secret)


@router.get("/keys")
def list_keys(services: TheServices, _caller: Admin) -> list[ApiKeyInfo]:
    """List all keys, including revoked ones, oldest first."""
    with services.database.read() as session:
        return [views.key_view(row) for row in api_keys.list_all(session)]


@router.post("/keys/{reference}/revoke")
def revoke_key(
    reference: str, services: TheServices, key_cache: TheKeyCache, caller: Admin
) -> ApiKeyInfo:
    """Revoke a key, given by its id, its name, or the beginning of its id.

    It takes effect at once on this scheduler, and within seconds on others.
    """
    now = services.clock()
    with audited_transaction(services, caller.actor, "key.revoke", reference) as change:
        row = _find(api_keys.find(change.session, reference), reference, now)
        change.target = row.id
        if not api_keys.revoke(change.session, row.id, now):
            raise ApiError(409, f"key {row.id} is already revoked")
        change.session.refresh(row)
    key_cache.forget(row.id)
    return views.key_view(row)


def _find(matches: list[ApiKeyRow], reference: str, now: float) -> ApiKeyRow:
    rows = [row for row in matches if api_keys.is_usable(row, now)] or matches
    if not rows:
        raise ApiError(404, f"there is no key {reference}; `trackfarm keys list` lists them")
    if len(rows) > 1:
        raise ApiError(409, f"{reference} matches several keys; give the id of one")
    return rows[0]


@router.get("/audit")
def list_audit(
    services: TheServices,
    _caller: Admin,
    target: Annotated[str | None, Query(max_length=300)] = None,
    after: Annotated[int, Query(ge=0, le=2**53)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> list[AuditEntry]:
    """List the audit log, oldest entry first, starting after the entry with the id `after`.

    `target` filters by the full id of a job, key, worker or other changed object.
    """
    with services.database.read() as session:
        rows = audit.list_entries(session, target=target, after=after, limit=limit)
        return [views.audit_view(row) for row in rows]
