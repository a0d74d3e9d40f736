"""Source audio: uploads, stored once by content whatever the file is called, and the check of a
submission's sources, since signed URLs are issued only for the owner's objects."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from fastapi import APIRouter
from sqlmodel import Session

from trackfarm.catalog import Brief
from trackfarm.catalog.source_refs import OBJECT, UPLOAD, is_local, is_url
from trackfarm.protocol.operator import API_PREFIX, UploadAnswer, UploadRequest
from trackfarm_scheduler.api.auth import Submitter, TheServices
from trackfarm_scheduler.db import artifacts, uploads
from trackfarm_scheduler.objects.base import ObjectStore
from trackfarm_scheduler.objects.factory import source_key
from trackfarm_scheduler.objects.keys import UnsafeKey, checked_key, upload_key, uploads_of

router = APIRouter(prefix=API_PREFIX, tags=["operator"])


@router.post("/uploads")
def upload(request: UploadRequest, services: TheServices, caller: Submitter) -> UploadAnswer:
    """Request a URL to upload a source file; `url` is null if the file is stored already.

    PUT the file to `url`, and use `source` to refer to it in briefs. Send Content-MD5 with the PUT,
    so that the store rejects a body that was damaged in transit. Workers check the SHA-256.
    """
    key = upload_key(caller.owner, request.sha256)
    with services.database.write() as session:
        uploads.touch(session, key, services.clock())
    stat = services.objects.stat(key)
    if stat is not None and stat.size == request.size:
        return UploadAnswer(source=UPLOAD + request.sha256, url=None)
    lifetime = timedelta(seconds=services.settings.url_ttl_seconds)
    signed = services.objects.presign_put(key, expires=lifetime)
    return UploadAnswer(
        source=UPLOAD + request.sha256, url=signed.url, headers=dict(signed.headers)
    )


NOT_OWNED = "is neither an upload nor a finished track of yours"


@dataclass(slots=True)
class SourceCheck:
    """Source check of one submission; each distinct source is looked up once."""

    objects: ObjectStore
    owner: str
    _checked: dict[str, str | None] = field(default_factory=dict)

    def errors(self, session: Session, row: int, brief: Brief) -> list[dict[str, Any]]:
        """List the errors in the sources of a row."""
        return [
            {"row": row, "field": name, "message": problem}
            for name, reference in brief.sources()
            if (problem := self._problem(session, reference))
        ]

    def _problem(self, session: Session, reference: str) -> str | None:
        if is_url(reference):
            return None
        if reference not in self._checked:
            self._checked[reference] = self._find_problem(session, reference)
        return self._checked[reference]

    def _find_problem(self, session: Session, reference: str) -> str | None:
        if is_local(reference):
            return "is a local file, which the farm cannot read; `trackfarm submit` uploads it"
        try:
            key = checked_key(source_key(reference, self.owner))
        except UnsafeKey:
            return NOT_OWNED
        if reference.startswith(OBJECT) and not self._belongs_to_owner(session, key):
            return NOT_OWNED
        exists = self.objects.stat(key) is not None
        return None if exists else "does not exist (any more); upload it first"

    def _belongs_to_owner(self, session: Session, key: str) -> bool:
        return key.startswith(uploads_of(self.owner)) or artifacts.is_requested_by(
            session, key, self.owner
        )
