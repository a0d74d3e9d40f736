"""Source audio of a call: an upload stored by content, or a reference to a URL or a result.

The duration of an untrusted file is read from its header in a separate process.
"""

import hashlib
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO
from urllib.parse import parse_qs, urlsplit

from sqlmodel import Session
from starlette.datastructures import UploadFile

from trackfarm.catalog.source_refs import OBJECT, UPLOAD, SourceField, is_local
from trackfarm.protocol.limits import SOURCE_BYTES
from trackfarm_scheduler.api.errors import ApiError
from trackfarm_scheduler.db import artifacts, uploads
from trackfarm_scheduler.objects.base import CHUNK_BYTES
from trackfarm_scheduler.objects.keys import upload_key
from trackfarm_scheduler.services import Services

TIMEOUT_SECONDS = 10.0  # seconds
MEMORY_BYTES = 512 * 2**20
FILE_FIELDS: Mapping[str, SourceField] = {
    "src_audio": "src_audio",
    "ctx_audio": "src_audio",
    "reference_audio": "reference_audio",
    "ref_audio": "reference_audio",
}
AUDIO = "/v1/audio"


@dataclass(frozen=True, slots=True)
class CallSource:
    """A source: its `reference` in a brief, and its duration in `seconds`, None if unknown."""

    reference: str
    seconds: float | None


def store_upload(services: Services, owner: str, file: UploadFile, field: str) -> CallSource:
    """Store an upload under the hash of its content. Raises ApiError if it is empty or too large."""
    with tempfile.NamedTemporaryFile(prefix="trackfarm-source-") as temporary:
        size, sha256 = _copy(file.file, temporary.file)
        if not 0 < size <= SOURCE_BYTES:
            raise ApiError(400, f"{field}: a file must have 1 to {SOURCE_BYTES} bytes, not {size}")
        temporary.flush()
        key, path = upload_key(owner, sha256), Path(temporary.name)
        with services.database.write() as session:
            uploads.touch(session, key, services.clock())
        stat = services.objects.stat(key)
        if stat is None or stat.size != size:
            services.objects.put(key, path)
        return CallSource(UPLOAD + sha256, seconds_of(path))


def find_source(session: Session, value: object) -> CallSource:
    """Return the source that a path parameter refers to: a URL or an earlier result."""
    reference = str(value).strip()
    key = result_key(reference)
    if key is not None:
        return CallSource(OBJECT + key, artifacts.find_seconds(session, key))
    return CallSource(reference, None)


def result_key(reference: str) -> str | None:
    """Return the object key of an earlier result, given its `file` URL; None otherwise (pure)."""
    if reference.startswith(OBJECT):
        return reference.removeprefix(OBJECT)
    address = urlsplit(reference)
    if address.path != AUDIO:
        return None
    return next(iter(parse_qs(address.query).get("path", [])), None)


def path_problem(reference: str) -> str | None:
    """Return why a source reference cannot be used, or None (pure)."""
    if not is_local(reference):
        return None
    return "is a path, and this server does not read local files: upload the file in the form"


def seconds_of(file: Path) -> float | None:
    """Return the duration in seconds; None if the file does not state it.

    Workers decode the file and check the duration.
    """
    command = [sys.executable, "-I", "-m", "tinytag", "-f", "json", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as reader:
        resource.prlimit(reader.pid, resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        try:
            output, _ = reader.communicate(timeout=TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            reader.kill()
            return None
    try:
        return float(json.loads(output)["duration"])
    except (ValueError, KeyError, TypeError):
        return None


def _copy(source: BinaryIO, target: IO[bytes]) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    while chunk := source.read(CHUNK_BYTES):
        target.write(chunk)
        digest.update(chunk)
        size += len(chunk)
    return size, digest.hexdigest()
