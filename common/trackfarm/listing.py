"""Tables and playlists of tracks, for spreadsheets and players (pure)."""

import json

from trackfarm.api import Track
from trackfarm.printable import clean

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
MOST_TITLE = 120
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula (OWASP, CSV injection): it gets a `'` in front
    where it would be one."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def row(track: Track, file: str, job_id: str) -> dict[str, object]:
    """A line of the table; what only a finished track has is empty for any other."""
    made = track.artifact
    return {
        "ordinal": track.ordinal,
        "file": cell(file),
        "name": cell(track.name),
        "prompt": cell(track.prompt),
        "seconds": round(made.seconds, 3) if made else "",
        "size": made.size if made else "",
        "sha256": made.sha256 if made else "",
        "seed": made.seed if made else "",
        "tags": json.dumps(track.tags, ensure_ascii=False, sort_keys=True),
        "track_key": track.key,
        "job": job_id,
    }


def playlist_entry(track: Track, place: str) -> str:
    """Two lines of an extended M3U; `place` is a file or an address."""
    title = " ".join(clean(track.name or track.prompt).split())[:MOST_TITLE]
    seconds = round(track.artifact.seconds) if track.artifact else -1
    return f"#EXTINF:{seconds},{title}\n{place}\n"
