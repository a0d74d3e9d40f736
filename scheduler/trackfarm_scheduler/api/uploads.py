"""Uploads of source audio, stored once by content, whatever the file is called."""

from datetime import timedelta

from fastapi import APIRouter

from trackfarm.api import PREFIX, UploadAnswer, UploadRequest
from trackfarm.catalog.sources import UPLOAD
from trackfarm_scheduler.api.auth import Submitter, TheFarm
from trackfarm_scheduler.objects.keys import upload_key
from trackfarm_scheduler.store import uploads

router = APIRouter(prefix=PREFIX, tags=["operator"])


@router.post("/uploads")
def upload(request: UploadRequest, farm: TheFarm, caller: Submitter) -> UploadAnswer:
    """Request a URL to upload a source file; `url` is null if the file is stored already.

    PUT the file to `url`, and use `source` to refer to it in briefs. Send Content-MD5 with the PUT,
    so that the store rejects a body that was damaged in transit. Workers check the SHA-256.
    """
    key = upload_key(caller.owner, request.sha256)
    with farm.database.write() as session:
        uploads.touch(session, key, farm.clock())
    stat = farm.objects.stat(key)
    if stat is not None and stat.size == request.size:
        return UploadAnswer(source=UPLOAD + request.sha256, url=None)
    lifetime = timedelta(seconds=farm.settings.url_ttl_seconds)
    signed = farm.objects.presign_put(key, expires=lifetime)
    return UploadAnswer(
        source=UPLOAD + request.sha256, url=signed.url, headers=dict(signed.headers)
    )
