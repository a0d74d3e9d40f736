"""Patterns and chords of the eight genres; their words are in `trackfarm.demo_words`."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from trackfarm_demo.latents import HAT, KICK, SHAKER, SNARE


class Melody(StrEnum):
    """Notes of a beat of the melody."""

    TONE = "one random tone of the chord"
    SHELL = "third and highest tone of the chord"


@dataclass(frozen=True, slots=True)
class GenrePattern:
    """Pattern of one bar of four beats, and chords of four bars.

    `bass` pairs a beat with a member of the chord (0 is its root), `drums` with a channel.
    `progressions` are scale degrees of the four chords, in major and in minor.
    """

    bass: tuple[tuple[float, int], ...]
    melody: tuple[tuple[float, Melody], ...]
    drums: tuple[tuple[float, int], ...]
    progressions: tuple[tuple[int, ...], tuple[int, ...]]
    has_sevenths: bool

    @property
    def chord_size(self) -> int:
        return 4 if self.has_sevenths else 3

    def chord_degrees(self, mode: int, bar: int) -> tuple[int, ...]:
        """Return the scale degrees of the chord of a bar: triad, or seventh chord."""
        root = self.progressions[mode][bar % 4]
        return tuple(root + third for third in (0, 2, 4, 6)[: self.chord_size])


_BEATS = (0.0, 1.0, 2.0, 3.0)
_OFFBEATS = tuple(beat + 0.5 for beat in _BEATS)
_EIGHTHS = tuple(sorted(_BEATS + _OFFBEATS))
_BACKBEAT = ((1.0, SNARE), (3.0, SNARE))
_POP_CHORDS = ((0, 5, 3, 4), (0, 5, 2, 6))
_JAZZ_CHORDS = ((1, 4, 0, 5), (3, 6, 0, 4))


def _on(beats: tuple[float, ...], channel: int) -> tuple[tuple[float, int], ...]:
    return tuple((beat, channel) for beat in beats)


def _tones(beats: tuple[float, ...]) -> tuple[tuple[float, Melody], ...]:
    return tuple((beat, Melody.TONE) for beat in beats)


def _shells(beats: tuple[float, ...]) -> tuple[tuple[float, Melody], ...]:
    return tuple((beat, Melody.SHELL) for beat in beats)


PATTERNS: Mapping[str, GenrePattern] = {
    "spa": GenrePattern(
        bass=((0.0, 0),),
        melody=_tones((1.0, 2.0, 3.0)),
        drums=(),
        progressions=_POP_CHORDS,
        has_sevenths=False,
    ),
    "jazz": GenrePattern(
        bass=((0.0, 0), (1.0, 1), (2.0, 2), (3.0, 1)),
        melody=_shells((1.5, 3.0)) + _tones((3.5,)),
        drums=_on(_BEATS, SHAKER) + _on((1.0, 3.0), HAT),
        progressions=_JAZZ_CHORDS,
        has_sevenths=True,
    ),
    "bossa": GenrePattern(
        bass=((0.0, 0), (1.5, 2), (2.0, 2), (3.5, 0)),
        melody=_shells((0.5, 2.5)) + _tones((1.5, 3.0)),
        drums=_on(_EIGHTHS, SHAKER) + _on((0.0, 2.0), KICK),
        progressions=_JAZZ_CHORDS,
        has_sevenths=True,
    ),
    "pop": GenrePattern(
        bass=((0.0, 0), (2.0, 0)),
        melody=_tones(_EIGHTHS),
        drums=_on(_EIGHTHS, HAT) + _on((0.0, 2.0, 2.5), KICK) + _BACKBEAT,
        progressions=_POP_CHORDS,
        has_sevenths=False,
    ),
    "house": GenrePattern(
        bass=tuple((beat, 0) for beat in _OFFBEATS),
        melody=_tones(_BEATS) + _shells((1.5, 3.5)),
        drums=_on(_BEATS, KICK) + _on(_OFFBEATS, HAT) + _BACKBEAT,
        progressions=_POP_CHORDS,
        has_sevenths=False,
    ),
    "piano": GenrePattern(
        bass=((0.0, 0), (2.0, 2)),
        melody=_tones(_EIGHTHS[1:]),
        drums=(),
        progressions=_POP_CHORDS,
        has_sevenths=False,
    ),
    "lofi": GenrePattern(
        bass=((0.0, 0), (2.5, 0)),
        melody=_shells((0.5,)) + _tones((2.0, 3.0)),
        drums=_on(_EIGHTHS, HAT) + _on((0.0, 2.5), KICK) + _BACKBEAT,
        progressions=_POP_CHORDS,
        has_sevenths=False,
    ),
    "funk": GenrePattern(
        bass=((0.0, 0), (1.5, 0), (2.5, 2), (3.5, 0)),
        melody=_shells((0.5, 2.0)) + _tones((1.0, 3.0)),
        drums=_on(_EIGHTHS, HAT) + _on(_OFFBEATS, SHAKER) + _on((0.0, 1.5, 2.5), KICK) + _BACKBEAT,
        progressions=_JAZZ_CHORDS,
        has_sevenths=True,
    ),
}
