"""API keys: made, listed, revoked by administrators."""

from fastapi import APIRouter, Request

from trackfarm.access import Key, KeyRequest, NewKey
from trackfarm.api import PREFIX
from trackfarm_scheduler import views
from trackfarm_scheduler.api.auth import Admin, TheFarm, TheKeyring
from trackfarm_scheduler.api.changes import changing
from trackfarm_scheduler.api.problems import Refused
from trackfarm_scheduler.store import keys
from trackfarm_scheduler.store.access_tables import ApiKey

router = APIRouter(prefix=PREFIX, tags=["access"])


@router.post("/keys", status_code=201)
def make_key(wanted: KeyRequest, request: Request, farm: TheFarm, caller: Admin) -> NewKey:
    """Makes a key. Its secret is in this answer and nowhere else: not even an Idempotency-Key has
    it kept. A name is taken as long as its key can be used, so that repeating makes no second."""
    if "idempotency-key" in request.headers:
        raise Refused(400, "a key is never kept to be answered again; leave Idempotency-Key out")
    now = farm.clock()
    with changing(farm, caller.actor, "key.make", wanted.name) as change:
        if wanted.expires_at is not None and wanted.expires_at.timestamp() <= now:
            raise Refused(422, "expires_at is in the past")
        if (same := keys.named(change.session, wanted.name, now)) is not None:
            raise Refused(409, f"there is a key {wanted.name} ({same.id}); revoke it first")
        row, secret = keys.make(change.session, wanted, now)
        change.target = row.id
        return NewKey(key=views.key_view(row), secret=secret)


@router.get("/keys")
def list_keys(farm: TheFarm, _caller: Admin) -> list[Key]:
    """All keys, revoked ones included, oldest first."""
    with farm.database.read() as session:
        return [views.key_view(row) for row in keys.everything(session)]


@router.post("/keys/{reference}/revoke")
def revoke_key(reference: str, farm: TheFarm, keyring: TheKeyring, caller: Admin) -> Key:
    """Ends a key, named by its id, its name, or the beginning of its id: at once here, within
    seconds on other schedulers."""
    now = farm.clock()
    with changing(farm, caller.actor, "key.revoke", reference) as change:
        row = _find(keys.find(change.session, reference), reference, now)
        change.target = row.id
        if not keys.revoke(change.session, row.id, now):
            raise Refused(409, f"key {row.id} was revoked before")
        change.session.refresh(row)
    keyring.forget(row.id)
    return views.key_view(row)


def _find(found: list[ApiKey], reference: str, now: float) -> ApiKey:
    rows = [row for row in found if keys.is_usable(row, now)] or found
    if not rows:
        raise Refused(404, f"there is no key {reference}; `trackfarm keys list` lists them")
    if len(rows) > 1:
        raise Refused(409, f"{reference} names several keys; give the id of one")
    return rows[0]
