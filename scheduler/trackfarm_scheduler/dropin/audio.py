"""A finished file as the body of an answer: clients of ACE-Step's API follow no redirects."""

from collections.abc import Iterator

from fastapi.responses import FileResponse, Response, StreamingResponse

from trackfarm_scheduler.api.problems import Refused
from trackfarm_scheduler.objects.directory import DirectoryStore
from trackfarm_scheduler.objects.port import ObjectStore
from trackfarm_scheduler.objects.routes import MEDIA_TYPES


def audio_response(objects: ObjectStore, key: str) -> Response:
    """Raises Refused (404) when the store has it no more. Parts of a file are given by a directory
    store only."""
    found = objects.stat(key)
    if found is None:
        raise Refused(404, "the file is not here any more")
    kind = MEDIA_TYPES.get(key.rpartition(".")[2], "application/octet-stream")
    if isinstance(objects, DirectoryStore):
        return FileResponse(objects.path(key), media_type=kind)
    headers = {"Content-Length": str(found.size), "ETag": f'"{found.etag}"'}
    return StreamingResponse(_content(objects, key), headers=headers, media_type=kind)


def _content(objects: ObjectStore, key: str) -> Iterator[bytes]:
    with objects.open(key) as chunks:
        yield from chunks
