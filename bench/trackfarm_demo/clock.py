"""Oscillators that tell the demo model the time.

ACE-Step gives the transformer a `silence_latent` with every frame, the same for all tracks: here it
holds a clock. A patch's 64 numbers are, for each of three levels (four bars, a bar, a beat), the
angles of seven coarse tempi (70, 80 … 130) and three fine ones (2.5, 5, 7.5), as cosine and sine. A
tempo is the sum of one of each, and its angle the sum of their angles, so 10 oscillators do for 28
tempi (`clock_circuit` multiplies them).
"""

import numpy as np
from numpy.typing import NDArray

from trackfarm_demo.composition import BEATS_PER_BAR, CYCLE_BEATS
from trackfarm_demo.latents import (
    CHANNELS,
    FRAMES_PER_SECOND,
    PATCH,
    PATCH_CENTRE,
    PATCH_NUMBERS,
)
from trackfarm_demo.music_theory import FIRST_TEMPO, TEMPO_STEP, tempo_bpm

COARSE = tuple(FIRST_TEMPO + 10 * i for i in range(7))
FINE = tuple(TEMPO_STEP * (i + 1) for i in range(3))
OSCILLATORS = len(COARSE) + len(FINE)
LEVEL_BEATS = (CYCLE_BEATS, BEATS_PER_BAR, 1)
FIRST_CONSTANT = 2 * OSCILLATORS * len(LEVEL_BEATS)  # the rest of a patch's numbers are 1


def clock(first: int, frames: int) -> NDArray[np.float32]:
    """Return the clock (frames, 16) from frame `first` of a track, a multiple of the patch."""
    minutes = _patch_minutes(first, frames)
    columns = np.ones((len(minutes), PATCH_NUMBERS))
    angles = [_angle(bpm, minutes, beats) for beats in LEVEL_BEATS for bpm in (*COARSE, *FINE)]
    columns[:, 0:FIRST_CONSTANT:2] = np.cos(angles).T
    columns[:, 1:FIRST_CONSTANT:2] = np.sin(angles).T
    return columns.reshape(-1, CHANNELS)[:frames].astype(np.float32)


def phases(tempo: int, first: int, frames: int) -> NDArray[np.float32]:
    """Return (patches, 6): cosine and sine of a tempo's angle, by level. Targets of a helper
    loss."""
    minutes = _patch_minutes(first, frames)
    angles = [_angle(tempo_bpm(tempo), minutes, beats) for beats in LEVEL_BEATS]
    pairs = [function(angle) for angle in angles for function in (np.cos, np.sin)]
    return np.stack(pairs, axis=1).astype(np.float32)


def _patch_minutes(first: int, frames: int) -> NDArray[np.float64]:
    patches = np.arange(first // PATCH, -(-(first + frames) // PATCH))
    return (patches * PATCH + PATCH_CENTRE) / FRAMES_PER_SECOND / 60


def _angle(bpm: float, minutes: NDArray[np.float64], beats: int) -> NDArray[np.float64]:
    # Taken modulo one turn first: at ten minutes the angle would have lost digits.
    turns: NDArray[np.float64] = 2 * np.pi * ((bpm * minutes / beats) % 1.0)
    return turns
