"""Tables and playlists of tracks, for spreadsheets and players (pure)."""

import json

from trackfarm.api import Track
from trackfarm.words import one_line

COLUMNS = (
    "ordinal",
    "file",
    "name",
    "prompt",
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


def cell(text: str) -> str:
    """Return text that no spreadsheet reads as a formula (OWASP, CSV injection).

    Prefixes it with `'` if it would be one.
    """
    return f"'{text}" if text.startswith(_FORMULA) else text


def row(track: Track, file: str, job_id: str) -> dict[str, object]:
    """Return one line of the table; columns of finished tracks are empty for all others."""
    artifact = track.artifact
    return {
        "ordinal": track.ordinal,
        "file": cell(file),
        "name": cell(track.name),
        "prompt": cell(track.prompt),
        "seconds": round(artifact.seconds, 3) if artifact else "",
        "size": artifact.size if artifact else "",
        "sha256": artifact.sha256 if artifact else "",
        "seed": artifact.seed if artifact else "",
        "tags": json.dumps(track.tags, ensure_ascii=False, sort_keys=True),
        "track_key": track.key,
        "job": job_id,
    }


def playlist_entry(track: Track, place: str) -> str:
    """Return two lines of an extended M3U; `place` is a file or a URL."""
    title = one_line(track.name or track.prompt)
    seconds = round(track.artifact.seconds) if track.artifact else -1
    return f"#EXTINF:{seconds},{title}\n{place}\n"
