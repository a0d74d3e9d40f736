"""Objects as a directory store would have received them, without the upload: the measured scheduler
verifies real files, but only its own work is measured."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from trackfarm_scheduler.objects.directory_write import digest_line


@dataclass(frozen=True, slots=True)
class Written:
    size: int
    md5: str
    sha256: str


def write_object(root: Path, key: str) -> Written:
    """Write a tiny object and its digest; its content is its key."""
    content = key.encode()
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    path = root / "objects" / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    digest = root / "digests" / key
    digest.parent.mkdir(parents=True, exist_ok=True)
    digest.write_text(digest_line(md5, os.stat(path)))
    return Written(len(content), md5, hashlib.sha256(content).hexdigest())
