"""Source audio of a call: an upload stored by content, or a reference to a URL or a result."""

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import select
from sqlmodel import Session, col
from starlette.datastructures import UploadFile

from trackfarm.api import SOURCE_BYTES
from trackfarm.catalog.sources import OBJECT, UPLOAD, SourceField, is_local
from trackfarm_scheduler.api.problems import Refused
from trackfarm_scheduler.dropin.lengths import seconds_of
from trackfarm_scheduler.farm import Farm
from trackfarm_scheduler.objects.keys import upload_key
from trackfarm_scheduler.objects.port import CHUNK_BYTES
from trackfarm_scheduler.store import uploads
from trackfarm_scheduler.store.tables import Artifact

FILE_FIELDS: Mapping[str, SourceField] = {
    "src_audio": "src_audio",
    "ctx_audio": "src_audio",
    "reference_audio": "reference_audio",
    "ref_audio": "reference_audio",
}
AUDIO = "/v1/audio"


@dataclass(frozen=True, slots=True)
class Source:
    """A source: its `reference` in a brief, and its duration in `seconds`, None if unknown."""

    reference: str
    seconds: float | None


def stored(farm: Farm, owner: str, file: UploadFile, field: str) -> Source:
    """Store an upload under the hash of its content. Raises Refused if it is empty or too large."""
    with tempfile.NamedTemporaryFile(prefix="trackfarm-source-") as temporary:
        size, sha256 = _copy(file.file, temporary.file)
        if not 0 < size <= SOURCE_BYTES:
            raise Refused(400, f"{field}: a file must have 1 to {SOURCE_BYTES} bytes, not {size}")
        temporary.flush()
        key, path = upload_key(owner, sha256), Path(temporary.name)
        with farm.database.write() as session:
            uploads.touch(session, key, farm.clock())
        stat = farm.objects.stat(key)
        if stat is None or stat.size != size:
            farm.objects.put(key, path)
        return Source(UPLOAD + sha256, seconds_of(path))


def _copy(source: BinaryIO, target: IO[bytes]) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    while chunk := source.read(CHUNK_BYTES):
        target.write(chunk)
        digest.update(chunk)
        size += len(chunk)
    return size, digest.hexdigest()


def named(session: Session, given: object) -> Source:
    """Return the source that a path parameter refers to: a URL or an earlier result."""
    reference = str(given).strip()
    key = result_key(reference)
    if key is not None:
        statement = select(col(Artifact.seconds)).where(col(Artifact.object_key) == key)
        return Source(OBJECT + key, session.scalar(statement))
    return Source(reference, None)


def result_key(reference: str) -> str | None:
    """Return the object key of an earlier result, given its `file` URL; None otherwise (pure)."""
    if reference.startswith(OBJECT):
        return reference.removeprefix(OBJECT)
    address = urlsplit(reference)
    if address.path != AUDIO:
        return None
    return next(iter(parse_qs(address.query).get("path", [])), None)


def path_flaw(reference: str) -> str | None:
    """Return why a source reference cannot be used, or None (pure)."""
    if not is_local(reference):
        return None
    return "is a path, and this server does not read local files: upload the file in the form"
