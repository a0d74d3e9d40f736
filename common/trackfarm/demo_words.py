"""Words of a prompt that the model set `demo` knows (`demo_words.toml`), and the genre they name
(pure)."""

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict


class Genre(BaseModel):
    """A genre that `demo` plays: `words` name it, `hints` only where no word names another.

    `bpm` and `key` apply to a brief without a tempo or a key.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bpm: float
    key: str
    words: tuple[str, ...]
    hints: tuple[str, ...]


class DemoWords(BaseModel):
    """The whole table. `default`: genre of a prompt that names none; `not_genres`: phrases that
    contain a genre's word and name none; tempi from `min_bpm` to `max_bpm` are played as they are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    default: str
    min_bpm: float
    max_bpm: float
    not_genres: tuple[str, ...]
    genres: Mapping[str, Genre]


@cache
def demo_words() -> DemoWords:
    """Return the table, its genres in the order of the file."""
    return DemoWords(**tomllib.loads((files("trackfarm") / "demo_words.toml").read_text()))


def named_genres(prompt: str) -> tuple[str, ...]:
    """Return the genres that a prompt names, in its order; hints count if no word names a genre.

    Empty if the prompt names none: the default genre is then played.
    """
    found = _pattern().findall(prompt.lower())
    by_words = (genre for text in found if (genre := _genre_by_word().get(text)))
    by_hints = (genre for text in found if (genre := _genre_by_hint().get(text)))
    return tuple(dict.fromkeys(by_words)) or tuple(dict.fromkeys(by_hints))


def played_genre(prompt: str) -> str:
    """Return the genre that `demo` is asked for by a prompt: the first one named, or the default."""
    return next(iter(named_genres(prompt)), demo_words().default)


@cache
def _genre_by_word() -> Mapping[str, str]:
    return {word: name for name, genre in demo_words().genres.items() for word in genre.words}


@cache
def _genre_by_hint() -> Mapping[str, str]:
    return {hint: name for name, genre in demo_words().genres.items() for hint in genre.hints}


@cache
def _pattern() -> re.Pattern[str]:
    known = {*_genre_by_word(), *_genre_by_hint(), *demo_words().not_genres}
    longest_first = sorted(known, key=lambda text: (-len(text), text))
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, longest_first))})\b")
