"""The audit log, for administrators."""

from typing import Annotated

from fastapi import APIRouter, Query

from trackfarm.access import AuditEntry
from trackfarm.api import PREFIX
from trackfarm_scheduler import views
from trackfarm_scheduler.api.auth import Admin, TheFarm
from trackfarm_scheduler.store import audit

router = APIRouter(prefix=PREFIX, tags=["access"])


@router.get("/audit")
def list_audit(
    farm: TheFarm,
    _caller: Admin,
    target: Annotated[str | None, Query(max_length=300)] = None,
    after: Annotated[int, Query(ge=0, le=2**53)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> list[AuditEntry]:
    """List the audit log, oldest entry first, starting after the entry with the id `after`.

    `target` filters by the full id of a job, key, worker or other changed object.
    """
    with farm.database.read() as session:
        rows = audit.entries(session, target=target, after=after, limit=limit)
        return [views.audit_view(row) for row in rows]
