"""Field types of a brief: input normalised to the spelling used for track identity."""

import unicodedata
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, StringConstraints
from pydantic_core import PydanticCustomError

from trackfarm.catalog.errors import quoted
from trackfarm.catalog.field_names import truth
from trackfarm.catalog.source_refs import source_problem
from trackfarm.catalog.vocabulary import (
    INSTRUMENTS,
    LANGUAGES,
    code_count,
    parse_instrument,
    parse_key,
    parse_time_signature,
    split_instruments,
)

_INSTRUMENTAL_MARKS = frozenset({"[instrumental]", "[inst]"})
_NO_CONTROL = r"^[^\x00-\x08\x0B\x0C\x0E-\x1F\x7F-\x9F]*$"
_NOT_IN_FILE = r'/\\:*?"<>|\x00-\x1F\x7F-\x9F'
_FILE_STEM = rf"^[^.{_NOT_IN_FILE}]([^{_NOT_IN_FILE}]*[^.{_NOT_IN_FILE}])?$"


def refused(wrong: str) -> PydanticCustomError:
    """Return a validation error with a complete message."""
    return PydanticCustomError("refused", "{wrong}", {"wrong": wrong})


def _not_a_switch(value: object) -> object:
    if isinstance(value, bool):
        raise refused(f"{str(value).lower()} is not a number")
    return value


def _switch(value: object) -> object:
    parsed = truth(value)
    if parsed is None:
        raise refused(f"{quoted(value)} is neither true nor false")
    return parsed


def _normalised(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = value if value.isascii() else unicodedata.normalize("NFC", value)
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _number_as_text(value: object) -> object:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number else value


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _to_the_end(value: object) -> object:
    return None if value in (-1, "-1") and value is not True else value


def _without_instrumental_mark(lyrics: str) -> str:
    return "" if lyrics.lower() in _INSTRUMENTAL_MARKS else lyrics


_FORMATS_ELSEWHERE = {
    "aac": "is not written here: raw AAC has no exact length, and opus is as small",
    "wav32": "is not written here: finished samples have 16 bits",
}


def _written_format(value: object) -> object:
    if isinstance(value, str) and (reason := _FORMATS_ELSEWHERE.get(value.strip().lower())):
        raise refused(f"{quoted(value)} {reason}")
    return value


def _within_the_source(value: object) -> object:
    number = value if isinstance(value, int | float | str) else 0
    try:
        is_before = float(number) < 0
    except ValueError:
        return value
    if is_before:
        raise refused(f"{quoted(value)} is before the source: nothing is added to a source here")
    return value


def _language(text: str) -> str | None:
    code = text.strip().lower()
    return code if code in LANGUAGES else None


def _known(parse: Callable[[str], object], wrong: str) -> Callable[[object], object]:
    def check(value: object) -> object:
        parsed = None if isinstance(value, bool) else parse(str(value))
        if parsed is None:
            raise refused(f"{quoted(value)} {wrong}")
        return parsed

    return check


_instrument = _known(parse_instrument, "is not an instrument")


def _instruments(value: object) -> object:
    names = split_instruments(value) if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or len(names) > 4 * len(INSTRUMENTS):
        raise refused(f"{quoted(value)} is not a list of instruments")
    return tuple(dict.fromkeys(_instrument(name) for name in names))


def _codes(text: str) -> str:
    if code_count(text) is None:
        raise refused(f"{quoted(text)} is not a string of audio codes")
    return text


def _source(text: str) -> str:
    if reason := source_problem(text):
        raise refused(f"{quoted(text)} {reason}")
    return text


def _timesteps(value: object) -> object:
    return tuple(value.split(",")) if isinstance(value, str) else value


def _falling(levels: tuple[float, ...]) -> tuple[float, ...]:
    if not levels:
        return ()
    noised = [level for level in levels if level > 0]
    is_falling = all(a > b for a, b in pairwise(levels))
    if not noised or not is_falling or levels[0] > 1 or levels[-1] < 0:
        raise refused(f"{quoted(levels)} does not fall from at most 1 towards 0")
    # With the last 0 or without it, the schedule ends there.
    return tuple(noised)


def parse_tags(text: str) -> dict[str, str]:
    """Parse `zone=lobby;mood=calm`. Raises `PydanticCustomError` for anything else."""
    pairs = [part.partition("=") for part in text.split(";") if part.strip()]
    tags = {key.strip(): value.strip() for key, _, value in pairs}
    if len(tags) < len(pairs) or not all(tags) or not all(tags.values()):
        raise refused(f"{quoted(text)} is not a list of labels")
    return tags


def _tags(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _number_as_text(text) for key, text in value.items()}
    return parse_tags(value) if isinstance(value, str) else value


Whole = Annotated[int, BeforeValidator(_not_a_switch)]
Real = Annotated[float, BeforeValidator(_not_a_switch)]
Switch = Annotated[bool, BeforeValidator(_switch)]
Timesteps = Annotated[tuple[float, ...], AfterValidator(_falling), BeforeValidator(_timesteps)]
Text = Annotated[
    str,
    StringConstraints(strip_whitespace=True, pattern=_NO_CONTROL),
    BeforeValidator(_normalised),
]
Lyrics = Annotated[Text, AfterValidator(_without_instrumental_mark)]
FileStem = Annotated[
    str,
    StringConstraints(strip_whitespace=True, pattern=_FILE_STEM),
    BeforeValidator(_normalised),
    BeforeValidator(_number_as_text),
]
Key = Annotated[str, BeforeValidator(_known(parse_key, "is not a key"))]
TimeSignature = Annotated[
    int, BeforeValidator(_known(parse_time_signature, "is not a time signature"))
]
Language = Annotated[str, BeforeValidator(_known(_language, "is not a language code"))]
Instrument = Annotated[str, BeforeValidator(_instrument)]
Instruments = Annotated[tuple[str, ...], BeforeValidator(_instruments)]
SourceName = Annotated[Text, AfterValidator(_source)]
AudioCodes = Annotated[Text, AfterValidator(_codes)]
Lower = BeforeValidator(_lower)
ToTheEnd = BeforeValidator(_to_the_end)
WrittenFormat = BeforeValidator(_written_format)
WithinSource = BeforeValidator(_within_the_source)
_TagText = Annotated[Text, StringConstraints(min_length=1, max_length=200)]
Tags = Annotated[dict[_TagText, _TagText], BeforeValidator(_tags)]
