"""Composed pieces as latents: the demo model's training data, and the measure of its playing."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trackfarm_demo.genre_patterns import PATTERNS, Melody
from trackfarm_demo.latents import (
    CHANNELS,
    FRAMES_PER_SECOND,
    PATCH,
    PATCH_CENTRE,
    PITCH_CLASSES,
    TRIGGER,
)
from trackfarm_demo.music_theory import Key, tempo_bpm

BEATS_PER_BAR = 4
CYCLE_BEATS = 16  # four bars, after which the chords begin again
MELODY_CHOICES = 4


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece by genre, tempo (index of the 28 tempi) and key; its melody is random."""

    genre: str
    tempo: int
    key: Key

    @property
    def frames_per_beat(self) -> float:
        return 60 * FRAMES_PER_SECOND / tempo_bpm(self.tempo)

    def bar_at(self, frame: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
        """Return the bar of the four-bar cycle in which each frame lies."""
        beats = frame / self.frames_per_beat
        return np.floor(beats / BEATS_PER_BAR).astype(np.int64) % 4


@dataclass(frozen=True, slots=True)
class _Cycle:
    """Events of four bars: beats, and scale degrees or drum channels.

    `melody_degrees` (events, 4) lists the tones to choose from; a single one is repeated.
    """

    bass_beats: NDArray[np.float64]
    bass_degrees: NDArray[np.int64]
    melody_beats: NDArray[np.float64]
    melody_degrees: NDArray[np.int64]
    drum_beats: NDArray[np.float64]
    drum_channels: NDArray[np.int64]


def compose(rng: np.random.Generator, piece: Piece, first: int, frames: int) -> NDArray[np.float32]:
    """Return latents (frames, 16) of the piece, from frame `first` of it."""
    latents = np.zeros((frames, CHANNELS), np.float32)
    cycle = _cycle(piece.genre, piece.key.mode)
    scale = np.array(piece.key.scale)
    cycle_frames = CYCLE_BEATS * piece.frames_per_beat
    for number in range(int(first / cycle_frames), int((first + frames) / cycle_frames) + 1):
        start = number * CYCLE_BEATS

        def within(beats: NDArray[np.float64], start: int = start) -> tuple[NDArray[np.int64], ...]:
            """Return frames of the events inside the excerpt, and the events' indices."""
            at = np.round((beats + start) * piece.frames_per_beat).astype(np.int64) - first
            events = np.flatnonzero((at >= 0) & (at < frames))
            return at[events], events

        at, events = within(cycle.bass_beats)
        latents[at, scale[cycle.bass_degrees[events] % 7]] = -TRIGGER
        at, events = within(cycle.melody_beats)
        chosen = rng.integers(MELODY_CHOICES, size=len(at))
        pitches = scale[cycle.melody_degrees[events, chosen] % 7]
        free = latents[at, pitches] == 0  # the bass note stays where both want the same channel
        latents[at[free], pitches[free]] = TRIGGER
        at, events = within(cycle.drum_beats)
        latents[at, cycle.drum_channels[events]] = TRIGGER
    return latents


def chord_tones(piece: Piece, first: int, frames: int) -> NDArray[np.float32]:
    """Return (patches, 24): the pitch classes of the chord at each patch, and its root, as 0 or 1.

    Targets of a helper loss: without them the notes of a small model stay random for long.
    """
    table = np.zeros((4, 2 * PITCH_CLASSES), np.float32)
    for bar in range(4):
        degrees = PATTERNS[piece.genre].chord_degrees(piece.key.mode, bar)
        table[bar, [piece.key.pitch_class(degree) for degree in degrees]] = 1
        table[bar, PITCH_CLASSES + piece.key.pitch_class(degrees[0])] = 1
    patches = np.arange(first // PATCH, (first + frames) // PATCH)
    # A trigger is rounded to its frame, so a bar begins half a frame early.
    return table[piece.bar_at(patches * PATCH + PATCH_CENTRE + 0.5)]


@cache
def _cycle(genre_name: str, mode: int) -> _Cycle:
    pattern = PATTERNS[genre_name]
    bass, melody, drums = [], [], []
    for bar in range(4):
        start = BEATS_PER_BAR * bar
        degrees = pattern.chord_degrees(mode, bar)
        choices = [*degrees, *degrees[:1]][:MELODY_CHOICES]
        bass += [(start + beat, degrees[member]) for beat, member in pattern.bass]
        for beat, notes in pattern.melody:
            if notes is Melody.TONE:
                melody.append((start + beat, choices))
            else:
                shell = (degrees[1], degrees[-1])
                melody += [(start + beat, [degree] * MELODY_CHOICES) for degree in shell]
        drums += [(start + beat, channel) for beat, channel in pattern.drums]
    return _Cycle(
        np.array([beat for beat, _ in bass]),
        np.array([degree for _, degree in bass]),
        np.array([beat for beat, _ in melody]),
        np.array([degrees for _, degrees in melody]),
        np.array([beat for beat, _ in drums], np.float64),
        np.array([channel for _, channel in drums], np.int64),
    )
