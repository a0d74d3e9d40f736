"""An ear for finished tracks: tempo, key and genre of the sound alone, whatever was asked.

Numpy and soxr only, so that it runs wherever a worker does. Its tempi and keys are checked against
librosa's in the tests.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from trackfarm_demo.genre_patterns import PATTERNS, Melody
from trackfarm_demo.latents import HAT, KICK, SHAKER, SNARE
from trackfarm_demo.music_theory import HIGHEST_BPM, LOWEST_BPM, MODES, SHARPS, Key

Numbers = NDArray[np.floating[Any]]

RATE = 24_000
HOP, WINDOW = 240, 1_024  # 10 ms; 43 ms
TONE_WINDOW = 8_192  # 0.34 s: tells semitones apart from 250 Hz on
TONE_HZ = (250.0, 1_050.0)
TEMPI = np.arange(LOWEST_BPM, HIGHEST_BPM, 0.1)
SLOTS = 8  # eighth notes of a bar
# Bands of the onsets: bass and kick, notes, snare, hat and shaker. In Hz.
BANDS = ((30.0, 120.0), (250.0, 1_050.0), (2_000.0, 5_000.0), (8_000.0, 12_000.0))
LOW, NOTES = 0, 1
DIGITAL_SILENCE = 1e-4


@dataclass(frozen=True, slots=True)
class SoundAnalysis:
    """The sound of a track. `bpm` is within the octave from 69 to 139. `in_scale(key)` is
    computed from `chroma`, the energy of each pitch class (sum 1, all 0 if there are no tones)."""

    bpm: float
    chroma: Numbers
    genre: str
    level_dbfs: float
    peak: float

    def in_scale(self, key: Key) -> float:
        """Return the share of tonal energy in the scale of the key; 0.58 by chance."""
        return float(self.chroma[list(key.scale)].sum())

    @property
    def keys(self) -> tuple[Key, Key]:
        """The major key of the best fitting scale, and its relative minor, of the same notes."""
        tonic = max(range(12), key=lambda tonic: self.in_scale(Key(tonic, 0)))
        return Key(tonic, 0), Key((tonic + 9) % 12, 1)

    @property
    def key_name(self) -> str:
        return " or ".join(f"{SHARPS[key.tonic]} {MODES[key.mode]}" for key in self.keys)


def hear(audio: NDArray[np.floating[Any]], sample_rate: int) -> SoundAnalysis:
    """Hear audio (samples, channels), -1 to 1."""
    mono = audio.mean(axis=1)
    sound = soxr.resample(mono, sample_rate, RATE).astype(np.float64)
    onsets = _onsets(sound)
    bpm = _tempo(onsets.sum(axis=1))
    rms = float(np.sqrt((audio.astype(np.float64) ** 2).mean()))
    return SoundAnalysis(
        bpm=bpm,
        chroma=_chroma(sound),
        genre=_genre(onsets, bpm),
        level_dbfs=20 * math.log10(max(rms, 1e-9)),
        peak=float(np.abs(audio).max(initial=0)),
    )


def _spectra(sound: Numbers, window: int, hop: int) -> Numbers:
    """Return magnitudes (frames, bins); frame i is centred at i * hop."""
    padded = np.pad(sound, window // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
    result: Numbers = np.abs(np.fft.rfft(frames * np.hanning(window), axis=1)) / window
    return result


def _band(spectra: Numbers, window: int, low: float, high: float) -> Numbers:
    hz = np.arange(spectra.shape[1]) * RATE / window
    return spectra[:, (hz >= low) & (hz < high)]


def _onsets(sound: Numbers) -> Numbers:
    """Return the rise of the logarithmic level in each band (frames, bands)."""
    spectra = _spectra(sound, WINDOW, HOP)
    columns = []
    for low, high in BANDS:
        level = np.log(DIGITAL_SILENCE + _band(spectra, WINDOW, low, high))
        rise = np.maximum(np.diff(level, axis=0, prepend=level[:1]), 0)
        columns.append(rise.mean(axis=1))
    return np.stack(columns, axis=1)


def _tempo(onsets: Numbers) -> float:
    """Return the tempo with most energy at its beat, half and quarter beat."""
    seconds = np.arange(len(onsets)) * HOP / RATE
    centred = onsets - onsets.mean()

    def energy(multiple: float) -> Numbers:
        waves = np.exp(-2j * np.pi * np.outer(TEMPI / 60 * multiple, seconds))
        result: Numbers = np.abs(waves @ centred)
        return result

    return float(TEMPI[np.argmax(energy(1) + energy(2) + 0.7 * energy(4))])


def _chroma(sound: Numbers) -> Numbers:
    """Return the energy of spectral peaks by pitch class, of the octaves above middle C."""
    power = _spectra(sound, TONE_WINDOW, TONE_WINDOW // 4).mean(axis=0) ** 2
    hz = np.arange(len(power)) * RATE / TONE_WINDOW
    is_peak = np.zeros(len(power), bool)
    is_peak[1:-1] = (power[1:-1] > power[:-2]) & (power[1:-1] > power[2:])
    is_tone = is_peak & (hz >= TONE_HZ[0]) & (hz < TONE_HZ[1])
    pitches = np.round(12 * np.log2(hz[is_tone] / 261.626)).astype(int) % 12
    chroma = np.bincount(pitches, weights=power[is_tone], minlength=12)
    return np.asarray(chroma / max(chroma.sum(), 1e-30), np.float64)


def _genre(onsets: Numbers, bpm: float) -> str:
    """Return the genre of the most similar bar. Pieces begin on the first beat of a bar."""
    bar = _bar(onsets, bpm)
    fit = {name: _similarity(bar, template) for name, template in _templates().items()}
    return max(fit, key=lambda name: fit[name])


def _bar(onsets: Numbers, bpm: float) -> Numbers:
    """Return the mean onsets (8 slots, bands) of a bar: the strongest within 40 ms of each eighth."""
    frames_per_slot = 30 / bpm * RATE / HOP
    slots = int(len(onsets) / frames_per_slot) // SLOTS * SLOTS
    starts = np.round(np.arange(slots) * frames_per_slot).astype(int)
    reach = np.arange(-4, 5)
    near = np.clip(starts[:, None] + reach, 0, len(onsets) - 1)
    strongest = onsets[near].max(axis=1)
    means: Numbers = strongest.reshape(-1, SLOTS, len(BANDS)).mean(axis=0)
    return means


def _similarity(bar: Numbers, template: Numbers) -> float:
    """Return the correlation of both, each band against the level of all bands."""
    a, b = bar - bar.mean(), template - template.mean()
    return float((a * b).sum() / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-9))


# How much of each band an instrument's onset brings, against a bass note's; measured on its sound.
_DRUM_BANDS = {
    KICK: np.array([1.0, 0.0, 0.0, 0.0]),
    SNARE: np.array([0.2, 0.1, 0.2, 0.05]),
    HAT: np.array([0.0, 0.0, 0.14, 0.3]),
    SHAKER: np.array([0.0, 0.0, 0.08, 0.22]),
}
_NOTE_LEVELS = {Melody.TONE: 0.25, Melody.SHELL: 0.4}


@cache
def _templates() -> dict[str, Numbers]:
    """Return how loud each band begins in each slot, by genre: the sum of its instruments."""
    templates = {}
    for name, pattern in PATTERNS.items():
        bar = np.zeros((SLOTS, len(BANDS)))
        for beat, _ in pattern.bass:
            bar[int(2 * beat), LOW] += 1.0
        for beat, notes in pattern.melody:
            bar[int(2 * beat), NOTES] += _NOTE_LEVELS[notes]
        for beat, drum in pattern.drums:
            bar[int(2 * beat)] += _DRUM_BANDS[drum]
        templates[name] = np.minimum(bar, 1.0)
    return templates
