"""Catalogs generated for one test: mixed durations, all three audio formats."""

import csv
import io
import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import yaml

from trackfarm.catalog import Brief

_FORMATS = ("wav", "flac", "mp3")
_MOODS = ("rain on tin", "a slow train", "harbour at dawn", "dust and neon")
_names = itertools.count(1)


def fresh_name(stem: str) -> str:
    """Return a catalog name that no other test uses."""
    return f"{stem}-{next(_names)}"


def briefs(
    count: int, *, shortest: float = 10, longest: float = 20, steps: int | None = None
) -> list[Brief]:
    """Return briefs with durations spread evenly from shortest to longest, to 0.1 s."""
    return [
        Brief(
            prompt=f"{_MOODS[n % len(_MOODS)]}, take {n}",
            duration=round(shortest + (longest - shortest) * n / max(count - 1, 1), 1),
            audio_format=_FORMATS[n % len(_FORMATS)],
            inference_steps=steps,
        )
        for n in range(count)
    ]


def short_briefs(count: int) -> list[Brief]:
    """Return briefs of the shortest duration."""
    return briefs(count, longest=10)


def write_catalog(path: Path, wanted: Sequence[Brief]) -> Path:
    """Write the briefs to `path` in the format of its suffix."""
    rows = [
        {"prompt": b.prompt, "duration": b.duration, "audio_format": b.audio_format} for b in wanted
    ]
    match path.suffix:
        case ".csv":
            text = io.StringIO()
            writer = csv.DictWriter(text, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
            path.write_text(text.getvalue())
        case ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        case _:
            path.write_text(yaml.safe_dump({"catalog": path.stem, "briefs": rows}))
    return path
