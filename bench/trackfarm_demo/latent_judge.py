"""Judgement of latents against the piece that a brief asked for (numpy only)."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trackfarm_demo.composition import Piece, compose
from trackfarm_demo.genre_patterns import PATTERNS
from trackfarm_demo.latents import FRAMES_PER_SECOND, KICK, PITCH_CLASSES, TRIGGER
from trackfarm_demo.music_theory import octave_error, tempo_bpm

Latents = NDArray[np.float32]

PLAYED = 0.5  # of a trigger
TEMPO_TOLERANCE = 0.02
TEMPI = np.exp(np.linspace(math.log(50), math.log(200), 1_400))
NEIGHBOURS = np.array([0.5, 1.0, 0.5])  # a trigger one frame off counts half


@dataclass(frozen=True, slots=True)
class LatentScore:
    """Scores of one track. Shares are 0 to 1.

    `on_grid`: onsets within one frame of the asked pattern; `grid_filled`: onsets of the pattern that
    are played; `residue`: root mean square of everything that is not a trigger.
    """

    bpm: float
    is_tempo_right: bool
    on_grid: float
    grid_filled: float
    in_scale: float
    chord_tones: float
    genre: str
    notes_per_second: float
    drums_per_second: float
    residue: float


def judge(latents: Latents, piece: Piece, first: int = 0) -> LatentScore:
    """Judge latents (frames, 16) that begin at frame `first` of the piece."""
    is_played = np.abs(latents) > PLAYED * TRIGGER
    wanted = np.abs(compose(np.random.default_rng(0), piece, first, len(latents))) > 0
    bpm = heard_tempo(latents)
    seconds = len(latents) / FRAMES_PER_SECOND
    notes = is_played[:, :PITCH_CLASSES]
    return LatentScore(
        bpm=bpm,
        is_tempo_right=octave_error(bpm, tempo_bpm(piece.tempo)) < TEMPO_TOLERANCE,
        on_grid=_near(_onsets(is_played), _onsets(wanted)),
        grid_filled=_near(_onsets(wanted), _onsets(is_played)),
        in_scale=_share(notes[:, list(piece.key.scale)].sum(), notes.sum()),
        chord_tones=_chord_share(notes, piece, first),
        genre=heard_genre(latents, piece, first),
        notes_per_second=float(notes.sum() / seconds),
        drums_per_second=float(is_played[:, PITCH_CLASSES:].sum() / seconds),
        residue=float(np.sqrt((latents[~is_played] ** 2).mean())),
    )


def heard_tempo(latents: Latents) -> float:
    """Return the tempo in bpm at which onsets come, by their spectrum; it knows of no request.

    Sums the energy at the beat, the half and the quarter beat.
    """
    is_played = np.abs(latents) > PLAYED * TRIGGER
    onsets = is_played.sum(axis=1) + 1.5 * (latents[:, KICK] > PLAYED * TRIGGER)
    seconds = np.arange(len(latents)) / FRAMES_PER_SECOND

    def energy(multiple: int) -> NDArray[np.float64]:
        waves = np.exp(-2j * np.pi * np.outer(TEMPI / 60 * multiple, seconds))
        result: NDArray[np.float64] = np.abs(waves @ (onsets - onsets.mean()))
        return result

    return float(TEMPI[np.argmax(energy(1) + energy(2) + 0.7 * energy(4))])


def heard_genre(latents: Latents, piece: Piece, first: int) -> str:
    """Return the genre of the best fitting drums and bass, at the tempo and key of the piece."""
    played = _drums_and_bass(latents)
    fit: dict[str, float] = {}
    for genre in PATTERNS:
        other = Piece(genre, piece.tempo, piece.key)
        composed = compose(np.random.default_rng(0), other, first, len(latents))
        pattern = np.apply_along_axis(np.convolve, 0, _drums_and_bass(composed), NEIGHBOURS, "same")
        norm = math.sqrt((pattern**2).sum() * max((played**2).sum(), 1e-9))
        fit[genre] = float((pattern * played).sum() / max(norm, 1e-9))
    return max(fit, key=lambda genre: fit[genre])


def _drums_and_bass(latents: Latents) -> NDArray[np.float64]:
    drums = latents[:, PITCH_CLASSES:] > PLAYED * TRIGGER
    bass = latents[:, :PITCH_CLASSES] < -PLAYED * TRIGGER
    return np.concatenate([drums, bass], axis=1).astype(np.float64)


def _onsets(is_played: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.flatnonzero(is_played.any(axis=1))


def _near(frames: NDArray[np.int64], others: NDArray[np.int64]) -> float:
    """Return the share of frames at most one frame from one of the others."""
    if not len(frames) or not len(others):
        return 0.0
    return float((np.abs(frames[:, None] - others).min(axis=1) <= 1).mean())


def _chord_share(notes: NDArray[np.bool_], piece: Piece, first: int) -> float:
    frames, pitches = np.nonzero(notes)
    pattern = PATTERNS[piece.genre]
    chords = np.zeros((4, PITCH_CLASSES), bool)
    for bar in range(4):
        degrees = pattern.chord_degrees(piece.key.mode, bar)
        chords[bar, [piece.key.pitch_class(degree) for degree in degrees]] = True
    bars = piece.bar_at(frames + first + 0.5)
    return _share(chords[bars, pitches].sum(), len(pitches))


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0
