"""Sources in `src_audio` and `reference_audio`: a URL, an upload, an object or a local file.

Only a catalog may name local files: `trackfarm submit` uploads them and sends `upload:<sha256>`
instead, so that a track's identity follows the content and not the file's name.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from trackfarm.catalog.errors import FieldProblem
from trackfarm.protocol.limits import SOURCE_BYTES

UPLOAD, OBJECT = "upload:", "object:"
SourceField = Literal["src_audio", "reference_audio"]
FIELDS: tuple[SourceField, ...] = ("src_audio", "reference_audio")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")  # two letters or more: C: is a drive


def source_problem(reference: str) -> str | None:
    """Return the error in the form of a source, None if it is valid."""
    if reference.startswith(UPLOAD):
        match = _SHA256.fullmatch(reference.removeprefix(UPLOAD))
        return None if match else "is not upload: with a SHA-256 of 64 hexadecimal digits"
    if reference.startswith(OBJECT):
        return None if reference != OBJECT else "is object: without a key"
    if is_url(reference):
        return None if urlsplit(reference).hostname else "is a URL without a host"
    if scheme := _SCHEME.match(reference):
        return f"begins with {scheme.group()}, which is not supported"
    return None


def is_url(reference: str) -> bool:
    """Return True for an http(s) URL, which workers fetch directly."""
    return reference.lower().startswith(("http://", "https://"))


def is_local(reference: str) -> bool:
    """Return True for a path, which only the operator's machine can read."""
    return not is_url(reference) and not reference.startswith((UPLOAD, OBJECT))


def local_file(reference: str, catalog: Path) -> Path:
    """Return the path of a local source; relative paths start at the catalog's folder."""
    return catalog.parent / Path(reference).expanduser()


def file_problems(sources: Iterable[tuple[SourceField, str]], catalog: Path) -> list[FieldProblem]:
    """Return the problems of local source files: missing, empty, too big."""
    return [
        FieldProblem(field, reason, "give a file, a URL or an upload")
        for field, reference in sources
        if is_local(reference) and (reason := _file_problem(local_file(reference, catalog)))
    ]


def _file_problem(path: Path) -> str | None:
    try:
        if not path.is_file():
            return f"no such file {path}"
        size = path.stat().st_size
    except (OSError, ValueError) as error:
        return f"cannot be read: {error}"
    if not size:
        return f"the file {path} is empty"
    if size > SOURCE_BYTES:
        return f"the file {path} has {size / 1e6:,.0f} MB, over {SOURCE_BYTES / 1e6:.0f} MB"
    return None
