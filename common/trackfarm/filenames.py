"""File names for exported tracks, safe on every system (pure)."""

import re
import unicodedata
from pathlib import PurePosixPath

from trackfarm.api import Track

MAX_STEM_BYTES = 120
_UNSAFE = re.compile(r"[^\w.()+&' -]+")
_SUFFIX = re.compile(r"\.[a-z0-9]{1,8}")


def safe_stem(text: str) -> str:
    """Return `text` as part of a file name: letters of any script, digits, safe punctuation."""
    stem = _UNSAFE.sub("-", unicodedata.normalize("NFC", text))
    stem = re.sub(r"\s+", " ", stem)
    short = stem.encode()[:MAX_STEM_BYTES].decode(errors="ignore")
    return short.strip(" .-")


def ordinal_width(tracks: int) -> int:
    """Return the digits needed for the files of a job with so many tracks to sort in order."""
    return max(5, len(str(tracks)))


def track_file(track: Track, width: int) -> str:
    """Return `00042-lobby calm.mp3`: unique by number, readable by the brief's name or prompt."""
    stem = safe_stem(track.name) or safe_stem(" ".join(track.prompt.split()[:8]))
    number = f"{track.ordinal:0{width}d}"
    return "-".join(filter(None, [number, stem])) + _suffix(track)


def job_file(job_id: str, catalog: str, suffix: str) -> str:
    """Return the name of a file about a whole job, after its catalog."""
    return (safe_stem(catalog) or job_id) + suffix


def _suffix(track: Track) -> str:
    # The stored object's suffix, unless a worker reported a malformed one.
    stored = PurePosixPath(track.artifact.object_key).suffix if track.artifact else ""
    return stored if _SUFFIX.fullmatch(stored) else f".{safe_stem(track.audio_format)}"
