"""Finished files as response bodies: clients of ACE-Step's API follow no redirects."""

from collections.abc import Iterator

from fastapi.responses import FileResponse, Response, StreamingResponse

from trackfarm_scheduler.api.problems import Refused
from trackfarm_scheduler.objects.directory import DirectoryStore
from trackfarm_scheduler.objects.port import ObjectStore
from trackfarm_scheduler.objects.routes import MEDIA_TYPES


def audio_response(objects: ObjectStore, key: str) -> Response:
    """Return a stored file. Raises Refused (404) if the store no longer has it.

    Range requests are supported with a directory store only.
    """
    stat = objects.stat(key)
    if stat is None:
        raise Refused(404, "the file no longer exists")
    kind = MEDIA_TYPES.get(key.rpartition(".")[2], "application/octet-stream")
    if isinstance(objects, DirectoryStore):
        return FileResponse(objects.path(key), media_type=kind)
    headers = {"Content-Length": str(stat.size), "ETag": f'"{stat.etag}"'}
    return StreamingResponse(_content(objects, key), headers=headers, media_type=kind)


def _content(objects: ObjectStore, key: str) -> Iterator[bytes]:
    with objects.open(key) as chunks:
        yield from chunks
