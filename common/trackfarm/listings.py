"""Exports of tracks (pure): rows of a table, playlists, and file names safe on every system."""

import json
import re
import unicodedata
from pathlib import PurePosixPath

from trackfarm.protocol.operator import TrackInfo
from trackfarm.text import one_line

COLUMNS = (
    "ordinal",
    "file",
    "name",
    "title",
    "prompt",
    "bpm",
    "key_scale",
    "seconds",
    "size",
    "sha256",
    "seed",
    "tags",
    "track_key",
    "job",
)
PLAYLIST_HEAD = "#EXTM3U\n"
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
MAX_STEM_BYTES = 120
_UNSAFE = re.compile(r"[^\w.()+&' -]+")
_SUFFIX = re.compile(r"\.[a-z0-9]{1,8}")


def row(track: TrackInfo, file: str, job_id: str) -> dict[str, object]:
    """Return one line of the table; columns of finished tracks are empty for all others."""
    artifact = track.artifact
    return {
        "ordinal": track.ordinal,
        "file": cell(file),
        "name": cell(track.name),
        "title": cell(track.title),
        "prompt": cell(track.prompt),
        "bpm": track.bpm or "",
        "key_scale": track.key_scale or "",
        "seconds": round(artifact.seconds, 3) if artifact else "",
        "size": artifact.size if artifact else "",
        "sha256": artifact.sha256 if artifact else "",
        "seed": artifact.seed if artifact else "",
        "tags": json.dumps(track.tags, ensure_ascii=False, sort_keys=True),
        "track_key": track.key,
        "job": job_id,
    }


def cell(text: str) -> str:
    """Return text that no spreadsheet reads as a formula (OWASP, CSV injection).

    Prefixes it with `'` if it would be one.
    """
    return f"'{text}" if text.startswith(_FORMULA) else text


def playlist_entry(track: TrackInfo, location: str) -> str:
    """Return two lines of an extended M3U; `location` is a file or a URL."""
    title = one_line(track.name or track.prompt)
    seconds = round(track.artifact.seconds) if track.artifact else -1
    return f"#EXTINF:{seconds},{title}\n{location}\n"


def safe_stem(text: str) -> str:
    """Return `text` as part of a file name: letters of any script, digits, safe punctuation."""
    stem = _UNSAFE.sub("-", unicodedata.normalize("NFC", text))
    stem = re.sub(r"\s+", " ", stem)
    short = stem.encode()[:MAX_STEM_BYTES].decode(errors="ignore")
    return short.strip(" .-")


def ordinal_width(tracks: int) -> int:
    """Return the digits needed for the files of a job with so many tracks to sort in order."""
    return max(5, len(str(tracks)))


def track_file(track: TrackInfo, width: int) -> str:
    """Return `00042-lobby calm.mp3`: unique by number, readable by the brief's name or prompt."""
    stem = safe_stem(track.name) or safe_stem(" ".join(track.prompt.split()[:8]))
    number = f"{track.ordinal:0{width}d}"
    return "-".join(filter(None, [number, stem])) + _suffix(track)


def job_file(job_id: str, catalog: str, suffix: str) -> str:
    """Return the name of a file about a whole job, after its catalog."""
    return (safe_stem(catalog) or job_id) + suffix


def _suffix(track: TrackInfo) -> str:
    # The stored object's suffix, unless a worker reported a malformed one.
    stored = PurePosixPath(track.artifact.object_key).suffix if track.artifact else ""
    return stored if _SUFFIX.fullmatch(stored) else f".{safe_stem(track.audio_format)}"
