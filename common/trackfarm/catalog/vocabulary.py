"""The vocabulary ACE-Step 1.5 was trained on: languages, keys, metres, instruments, audio codes.

Source: `acestep/constants.py` of ACE-Step 1.5. Parsers return the normalised spelling used for
track identity, or None for unknown text.
"""

import re
from typing import Literal

AudioFormat = Literal["mp3", "wav", "flac", "opus"]
Task = Literal["text2music", "cover", "cover-nofsq", "repaint", "extract", "lego", "complete"]
ChunkMaskMode = Literal["auto", "explicit"]
RepaintMode = Literal["conservative", "balanced", "aggressive"]
InferMethod = Literal["ode", "sde"]
SamplerMode = Literal["euler", "heun"]
CorrectionMode = Literal["low", "high", "double", "pix"]

UNKNOWN_LANGUAGE = "unknown"
LANGUAGES = (
    "ar", "az", "bg", "bn", "ca", "cs", "da", "de", "el", "en", "es", "fa", "fi", "fr",
    "he", "hi", "hr", "ht", "hu", "id", "is", "it", "ja", "ko", "la", "lt", "ms", "ne",
    "nl", "no", "pa", "pl", "pt", "ro", "ru", "sa", "sk", "sr", "sv", "sw", "ta", "te",
    "th", "tl", "tr", "uk", "ur", "vi", "yue", "zh", "unknown",
)  # fmt: skip
TIME_SIGNATURES = {"2": 2, "3": 3, "4": 4, "6": 6, "2/4": 2, "3/4": 3, "4/4": 4, "6/8": 6}
INSTRUMENTS = (
    "woodwinds", "brass", "fx", "synth", "strings", "percussion", "keyboard", "guitar",
    "bass", "drums", "backing_vocals", "vocals",
)  # fmt: skip
CODES_PER_SECOND = 5
CODE_COUNT = 64_000

_KEY = re.compile(r"([A-Ga-g])\s*([#b♯♭]?)\s*(?:(major|maj)|(minor|min|m))", re.IGNORECASE)
_ASCII_ACCIDENTAL = {"": "", "#": "#", "♯": "#", "b": "b", "B": "b", "♭": "b"}
_CODES = re.compile(r"(?:<\|audio_code_\d{1,5}\|>)+")
_CODE = re.compile(r"\d+")
_INSTRUMENT_BREAK = re.compile(r"[,;|]")


def parse_key(text: str) -> str | None:
    """Normalise a key: `f♯ Min` -> `F# minor`; one of 7 notes x 3 accidentals x 2 modes."""
    match = _KEY.fullmatch(text.strip())
    if match is None:
        return None
    note, accidental, major, _ = match.groups()
    mode = "major" if major else "minor"
    return f"{note.upper()}{_ASCII_ACCIDENTAL[accidental]} {mode}"


def parse_time_signature(text: str) -> int | None:
    """Return the beats per bar, the model's only input: `4` or `4/4` -> 4."""
    return TIME_SIGNATURES.get("".join(text.split()))


def parse_instrument(text: str) -> str | None:
    """Normalise an instrument: `Backing Vocals` -> `backing_vocals`."""
    name = re.sub(r"[\s-]+", "_", text.strip().lower())
    return name if name in INSTRUMENTS else None


def split_instruments(text: str) -> list[str]:
    """Split at bars, commas and semicolons: `drums | bass` -> [`drums`, `bass`]."""
    return [part.strip() for part in _INSTRUMENT_BREAK.split(text) if part.strip()]


def code_count(text: str) -> int | None:
    """Return the number of audio codes (5 per second) in the text; None if it is anything else."""
    if _CODES.fullmatch(text) is None:
        return None
    codes = _CODE.findall(text)
    return len(codes) if all(int(code) < CODE_COUNT for code in codes) else None
