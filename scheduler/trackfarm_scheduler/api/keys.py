"""Management of API keys by administrators."""

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
    """Create an API key. The secret is in this response only and is not stored.

    Idempotency-Key is therefore refused; repeating the request is safe all the same, because a name
    cannot be used again (409) while its key is valid.
    """
    if "idempotency-key" in request.headers:
        raise Refused(
            400, "leave out Idempotency-Key: this response has a secret, which is not stored"
        )
    now = farm.clock()
    with changing(farm, caller.actor, "key.make", wanted.name) as change:
        if wanted.expires_at is not None and wanted.expires_at.timestamp() <= now:
            raise Refused(422, "expires_at is in the past")
        if (same := keys.named(change.session, wanted.name, now)) is not None:
            raise Refused(409, f"the key {wanted.name} exists already ({same.id}); revoke it first")
        row, secret = keys.make(change.session, wanted, now)
        change.target = row.id
        return NewKey(key=views.key_view(row), secret=secret)


@router.get("/keys")
def list_keys(farm: TheFarm, _caller: Admin) -> list[Key]:
    """List all keys, including revoked ones, oldest first."""
    with farm.database.read() as session:
        return [views.key_view(row) for row in keys.everything(session)]


@router.post("/keys/{reference}/revoke")
def revoke_key(reference: str, farm: TheFarm, keyring: TheKeyring, caller: Admin) -> Key:
    """Revoke a key, given by its id, its name, or the beginning of its id.

    It takes effect at once on this scheduler, and within seconds on others.
    """
    now = farm.clock()
    with changing(farm, caller.actor, "key.revoke", reference) as change:
        row = _find(keys.find(change.session, reference), reference, now)
        change.target = row.id
        if not keys.revoke(change.session, row.id, now):
            raise Refused(409, f"key {row.id} is already revoked")
        change.session.refresh(row)
    keyring.forget(row.id)
    return views.key_view(row)


def _find(matches: list[ApiKey], reference: str, now: float) -> ApiKey:
    rows = [row for row in matches if keys.is_usable(row, now)] or matches
    if not rows:
        raise Refused(404, f"there is no key {reference}; `trackfarm keys list` lists them")
    if len(rows) > 1:
        raise Refused(409, f"{reference} matches several keys; give the id of one")
    return rows[0]
