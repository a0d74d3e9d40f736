"""Music that comes with a call: stored once by its content, or named by where it lies."""

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
    """`reference`: as a brief names it; `seconds` long, None where that is not known."""

    reference: str
    seconds: float | None


def stored(farm: Farm, owner: str, file: UploadFile, field: str) -> Source:
    """Keeps an upload under its content. Raises Refused for one that is empty or too large."""
    with tempfile.NamedTemporaryFile(prefix="trackfarm-source-") as kept:
        size, sha256 = _copied(file.file, kept.file)
        if not 0 < size <= SOURCE_BYTES:
            raise Refused(400, f"{field}: a file has 1 to {SOURCE_BYTES} bytes, this one {size}")
        kept.flush()
        key, path = upload_key(owner, sha256), Path(kept.name)
        with farm.database.write() as session:
            uploads.touch(session, key, farm.clock())
        found = farm.objects.stat(key)
        if found is None or found.size != size:
            farm.objects.put(key, path)
        return Source(UPLOAD + sha256, seconds_of(path))


def _copied(source: BinaryIO, target: IO[bytes]) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    while chunk := source.read(CHUNK_BYTES):
        target.write(chunk)
        digest.update(chunk)
        size += len(chunk)
    return size, digest.hexdigest()


def named(session: Session, given: object) -> Source:
    """Where a path parameter says that the music lies: at an address, or in an earlier result."""
    reference = str(given).strip()
    key = result_key(reference)
    if key is not None:
        found = select(col(Artifact.seconds)).where(col(Artifact.object_key) == key)
        return Source(OBJECT + key, session.scalar(found))
    return Source(reference, None)


def result_key(reference: str) -> str | None:
    """The object of an earlier result, by the `file` that its answer had (pure)."""
    if reference.startswith(OBJECT):
        return reference.removeprefix(OBJECT)
    address = urlsplit(reference)
    if address.path != AUDIO:
        return None
    return next(iter(parse_qs(address.query).get("path", [])), None)


def path_flaw(reference: str) -> str | None:
    """Why a source cannot be used by its name, if it cannot (pure)."""
    if not is_local(reference):
        return None
    return "is a path, and this server reads no files of its own: send the file with the form"
