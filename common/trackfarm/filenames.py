"""File names for exported tracks, safe on every system (pure)."""

import re
import unicodedata
from pathlib import PurePosixPath

from trackfarm.api import Track

MAX_STEM_BYTES = 120
_UNSAFE = re.compile(r"[^\w.()+&' -]+")
_SUFFIX = re.compile(r"\.[a-z0-9]{1,8}")


def safe_stem(text: str) -> str:
    """`text` as part of a file name: letters of any script, digits and harmless signs."""
    kept = _UNSAFE.sub("-", unicodedata.normalize("NFC", text))
    kept = re.sub(r"\s+", " ", kept)
    short = kept.encode()[:MAX_STEM_BYTES].decode(errors="ignore")
    return short.strip(" .-")


def ordinal_width(tracks: int) -> int:
    """Digits that let the files of a job with so many tracks sort in order."""
    return max(5, len(str(tracks)))


def track_file(track: Track, width: int) -> str:
    """`00042-lobby calm.mp3`: unique by its number, readable by the brief's name or prompt."""
    stem = safe_stem(track.name) or safe_stem(" ".join(track.prompt.split()[:8]))
    number = f"{track.ordinal:0{width}d}"
    return "-".join(filter(None, [number, stem])) + _suffix(track)


def job_file(job_id: str, catalog: str, suffix: str) -> str:
    """A file about a whole job, by its catalog's name."""
    return (safe_stem(catalog) or job_id) + suffix


def _suffix(track: Track) -> str:
    # The object's own ending, unless somebody made up a strange one.
    stored = PurePosixPath(track.artifact.object_key).suffix if track.artifact else ""
    return stored if _SUFFIX.fullmatch(stored) else f".{safe_stem(track.audio_format)}"
