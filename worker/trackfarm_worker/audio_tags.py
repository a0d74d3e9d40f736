"""Tags in a finished file, and their ID3v2.4 form for MP3 and WAV files
(https://id3.org/id3v2.4.0-structure)."""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

from trackfarm.catalog import Brief
from trackfarm.model_sets import model_sets

MAX_TITLE_LENGTH = 80
UTF_8 = b"\x03"
TEXT_FRAMES = {
    "title": "TIT2",
    "artist": "TPE1",
    "album": "TALB",
    "genre": "TCON",
    "copyright": "TCOP",
}


@dataclass(frozen=True, slots=True)
class TrackProvenance:
    """Provenance of a track; `model_set` is its name, empty if the scheduler did not send it."""

    job_id: str
    model_set: str


def track_tags(brief: Brief, seed: int, provenance: TrackProvenance) -> dict[str, str]:
    """Return the tags of a track: its brief and job, how to make it again, and its licence."""
    tags = {
        "title": brief.title or brief.name or short_title(brief.prompt),
        "comment": brief.prompt,
        "copyright": copyright_notice(provenance.model_set),
        "seed": str(seed),
        "model_set": provenance.model_set,
        "job": provenance.job_id,
    }
    return {name: text for name, text in tags.items() if text}


def short_title(prompt: str) -> str:
    """Return the first words of a prompt, for a title."""
    title = textwrap.shorten(prompt, MAX_TITLE_LENGTH, placeholder="…")
    return title if title != "…" else prompt[:MAX_TITLE_LENGTH]


def copyright_notice(model_set: str) -> str:
    """Return a note about the licence; not legal advice."""
    row = model_sets().get(model_set)
    if row is not None and row.is_noise:
        return "Noise of random weights, made by trackfarm to try it out"
    if row is not None and row.is_built_in:
        return f"Made by trackfarm's {row.name} model, which comes with it ({row.licence})"
    licence = f" ({row.licence})" if row is not None else ""
    return (
        f"Made with ACE-Step 1.5{licence} by trackfarm;"
        " rules for AI-generated music differ by place and platform"
    )


def id3(tags: Mapping[str, str]) -> bytes:
    """Return the tags as an ID3v2.4 header, empty without tags. Tags without a frame of their own
    are stored as TXXX under their name."""
    body = b"".join(_frame_of(name, text) for name, text in tags.items())
    return b"ID3\x04\x00\x00" + _synchsafe(len(body)) + body if body else b""


def _frame_of(name: str, text: str) -> bytes:
    if name in TEXT_FRAMES:
        return _frame(TEXT_FRAMES[name], UTF_8, text)
    if name == "comment":
        return _frame("COMM", UTF_8 + b"eng\x00", text)
    return _frame("TXXX", UTF_8 + name.encode() + b"\x00", text)


def _frame(identifier: str, head: bytes, text: str) -> bytes:
    content = head + text.encode()
    return identifier.encode() + _synchsafe(len(content)) + b"\x00\x00" + content


def _synchsafe(number: int) -> bytes:
    """Encode a number as four bytes of seven bits, so that no length looks like the start of a
    frame."""
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))
