"""The demo model's decoder, built by hand in diffusers' AutoencoderOobleck: triggers to sound.

Inside, a tone is a pair of channels: the real and imaginary part of a rotating phasor. A pair is cheap
to carry on, as a step in time is a rotation, which a convolution can do. Drums are noise: random
weights, shaped by envelopes. The rates are 25 Hz (latents), then 250, 1,500, 6,000, 24,000, 48,000.
"""

import math
from typing import Any

import numpy as np

from trackfarm_demo.gate import Gate, fit_gate
from trackfarm_demo.latents import (
    CHANNELS,
    FRAMES_PER_SECOND,
    HAT,
    KICK,
    PITCH_CLASSES,
    SAMPLE_RATE,
    SHAKER,
    SNARE,
)
from trackfarm_demo.oobleck import Numbers, hann, neutralise, set_convolution, set_snake

GRAIN_RATE = 10 * FRAMES_PER_SECOND
BLOCK_RATES = (GRAIN_RATE, 1_500, 6_000, 24_000, SAMPLE_RATE)
GRAIN_HOP = 9  # steps of 4 ms between the grains of a tone
MIDDLE_OCTAVE = 24  # pairs above the lowest

# Pairs of semitones from C2, the lowest bass note: four and a half octaves, harmonics included.
PAIRS = 55
PAIR_HZ = 65.406 * 2 ** (np.arange(PAIRS) / 12)
KICK_HZ = 55.0
KICK_PAIR = 2 * PAIRS
HISS = KICK_PAIR + 2  # 4 channels of noise for hat and shaker, then 4 for the snare
BANDS = 4

# Semitones above the note, and loudness, of the partials of a pluck.
BASS_PARTIALS = ((0, 0.9), (12, 0.4), (19, 0.16), (24, 0.08))
MIDDLE_PARTIALS = ((0, 0.5), (12, 0.2), (19, 0.09))
BASS_DECAY, MIDDLE_DECAY = 0.26, 0.20  # seconds
HIGH_PASS = np.array([0, -0.25, -0.25, 1, -0.25, -0.25, 0])


def build_decoder(vae: Any, rng: np.random.Generator) -> None:
    """Set all weights of the VAE's decoder; its noise comes from `rng`. Takes 0.2 s."""
    decoder = vae.decoder
    neutralise(decoder)
    players = _build_gates(decoder)
    _build_grains(decoder.block[0].conv_t1, players, rng)
    _build_tails(decoder.block[0].res_unit3)
    for number in range(1, len(BLOCK_RATES)):
        _build_upsampling(decoder.block[number].conv_t1, number, rng)
    _build_output(decoder.conv2, rng)


class _Players:
    """Gates of all latents: which channels open for which trigger."""

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._gates: dict[int, tuple[Gate, list[int]]] = {}
        self.constant = 0

    def add(self, latent: int, gate: Gate, first: int) -> int:
        """Place a latent's features from channel `first` on; return the next free channel."""
        end = first + len(gate.features)
        self._gates[latent] = (gate, list(range(first, end)))
        self.constant = end
        assert end < self._channels, end
        return end

    def play(self, weight: Numbers, latent: int, sign: int, channel: int, shape: Numbers) -> None:
        """Add `shape` to the weights that lead from the gate of this trigger to `channel`."""
        gate, features = self._gates[latent]
        *weights, constant = gate.weights(sign)
        for feature, value in zip(features, weights, strict=True):
            weight[feature, channel] += value * shape
        weight[self.constant, channel] += constant * shape


def _build_gates(decoder: Any) -> _Players:
    """Make conv1 and the first snake compute the features of every latent, three frames late: a
    tone needs time to rise before its onset."""
    weight = np.zeros(decoder.conv1.weight_v.shape)
    bias = np.zeros(len(weight))
    players = _Players(len(weight))
    channel = 0
    for latent in range(CHANNELS):
        gate = fit_gate(is_note=latent < PITCH_CLASSES)
        for number, feature in enumerate(gate.features, start=channel):
            weight[number, latent, 0] = 1
            bias[number] = feature.bias
            if feature.alpha is not None:
                log_alpha = math.log(feature.alpha)
                set_snake(decoder.block[0].snake1, [number], log_alpha, log_alpha)
        channel = players.add(latent, gate, channel)
    bias[players.constant] = 1
    set_convolution(decoder.conv1, weight, bias)
    return players


def _build_grains(layer: Any, players: _Players, rng: np.random.Generator) -> None:
    """Make each trigger a grain: 80 ms at 250 Hz."""
    weight = np.zeros(layer.weight_v.shape)
    steps = np.arange(weight.shape[2])
    is_inside = (steps > 0) & (steps <= 2 * GRAIN_HOP)
    window = np.sin(np.pi * (steps - 0.5) / (2 * GRAIN_HOP)) ** 2 * is_inside
    seconds = (steps - GRAIN_HOP) / GRAIN_RATE

    def pluck(latent: int, sign: int, pair: int, loudness: float) -> None:
        angle = 2 * np.pi * PAIR_HZ[pair] * seconds
        players.play(weight, latent, sign, 2 * pair, loudness * window * np.cos(angle))
        players.play(weight, latent, sign, 2 * pair + 1, loudness * window * np.sin(angle))

    for pitch in range(PITCH_CLASSES):
        for semitones, loudness in BASS_PARTIALS:
            pluck(pitch, -1, pitch + semitones, loudness)
        for semitones, loudness in MIDDLE_PARTIALS:
            pluck(pitch, 1, MIDDLE_OCTAVE + pitch + semitones, loudness)
    _build_kick(weight, players, steps)
    _build_noises(weight, players, steps, rng)
    set_convolution(layer, weight)


def _build_kick(weight: Numbers, players: _Players, steps: Numbers) -> None:
    """Make the kick a pair that falls in pitch and decays."""
    seconds = np.maximum(steps - 3, 0) / GRAIN_RATE
    is_on = steps >= 3
    falling_hz = np.where(is_on, 70 * np.exp(-seconds / 0.02), 0)
    angle = 2 * np.pi * np.cumsum(falling_hz) / GRAIN_RATE
    fade = np.minimum(1, (len(steps) - steps) / 6)
    envelope = 1.5 * is_on * np.exp(-seconds / 0.035) * fade
    players.play(weight, KICK, 1, KICK_PAIR, envelope * np.cos(angle))
    players.play(weight, KICK, 1, KICK_PAIR + 1, envelope * np.sin(angle))


def _build_noises(
    weight: Numbers, players: _Players, steps: Numbers, rng: np.random.Generator
) -> None:
    def noise(latent: int, first: int, loudness: float, decay: float) -> None:
        envelope = loudness * (steps >= 3) * np.exp(-np.maximum(steps - 3, 0) / decay)
        for channel in range(first, first + BANDS):
            players.play(weight, latent, 1, channel, envelope * rng.normal(size=len(steps)))

    noise(HAT, HISS, 0.8, 4.0)
    noise(SHAKER, HISS, 0.38, 2.5)
    noise(SNARE, HISS + BANDS, 1.5, 7.0)
    for channel in range(HISS + BANDS, HISS + 2 * BANDS):
        click = 0.25 * rng.normal(size=len(steps)) * (steps == 3)
        players.play(weight, KICK, 1, channel, click)


def _build_tails(unit: Any) -> None:
    """Make a grain a tone: seven grains 36 ms apart, each turned on in phase and softer.

    The unit is residual, so 1 is taken off the middle tap. Its kernel is dilated by 9 steps.
    """
    channels = unit.conv1.weight_v.shape[0]
    weight = np.zeros(unit.conv1.weight_v.shape)
    taps = weight.shape[2]
    hop = GRAIN_HOP / GRAIN_RATE
    for pair in range(PAIRS):
        decay = BASS_DECAY if pair < MIDDLE_OCTAVE else MIDDLE_DECAY
        rows = slice(2 * pair, 2 * pair + 2)
        for grain in range(taps):
            softer = math.exp(-grain * hop / decay) * (0.5 + 0.5 * math.cos(math.pi * grain / 7.5))
            angle = 2 * np.pi * PAIR_HZ[pair] * hop * grain
            # A convolution hears its last tap first.
            weight[rows, rows, taps - 1 - grain] += softer * _rotation(angle)
        weight[rows, rows, taps // 2] -= np.eye(2)
    for channel in range(KICK_PAIR, HISS + 2 * BANDS):
        weight[channel, channel, taps - 1] += 1
        if channel >= HISS:
            weight[channel, channel, taps - 2] += 0.12 if channel < HISS + BANDS else 0.3
        weight[channel, channel, taps // 2] -= 1
    set_convolution(unit.conv1, weight)
    set_convolution(unit.conv2, np.eye(channels)[:, :, None])


def _rotation(angle: float) -> Numbers:
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.array([[cosine, -sine], [sine, cosine]])


def _build_upsampling(layer: Any, number: int, rng: np.random.Generator) -> None:
    """Make a block carry the tones on: as pairs, then as two ears of sound, then interpolated.

    Transposed convolution: each output phase is a rotation of the input, under a sin² window.
    """
    weight = np.zeros(layer.weight_v.shape)
    taps = weight.shape[2]
    window = hann(taps)
    seconds = (np.arange(taps) - (taps / 2 - 0.5)) / BLOCK_RATES[number]
    if number == 1:
        _carry_pairs(weight, window, seconds)
    elif number == 2:
        _mix_pairs(weight, window, seconds)
    else:
        weight[0, 0] += window
        weight[1, 1] += window
    noise_in, noise_out = HISS if number <= 2 else 2, HISS if number == 1 else 2
    for band in (0, BANDS):
        rows = slice(noise_in + band, noise_in + band + BANDS)
        columns = slice(noise_out + band, noise_out + band + BANDS)
        weight[rows, columns] += rng.normal(size=(BANDS, BANDS, taps)) * np.sqrt(window) / 2
    set_convolution(layer, weight)


def _carry_pairs(weight: Numbers, window: Numbers, seconds: Numbers) -> None:
    for pair, hz in enumerate([*PAIR_HZ, KICK_HZ]):
        cosine, sine = np.cos(2 * np.pi * hz * seconds), np.sin(2 * np.pi * hz * seconds)
        real, imaginary = 2 * pair, 2 * pair + 1
        weight[real, real] += cosine * window
        weight[imaginary, real] -= sine * window
        weight[real, imaginary] += sine * window
        weight[imaginary, imaginary] += cosine * window


def _mix_pairs(weight: Numbers, window: Numbers, seconds: Numbers) -> None:
    """Take the real part of each pair; notes of the middle stand left and right."""
    for pair, hz in enumerate([*PAIR_HZ, KICK_HZ]):
        place = 0.5 + 0.35 * math.sin(2.4 * pair) if MIDDLE_OCTAVE <= pair < PAIRS else 0.5
        for ear, loudness in enumerate((math.sqrt(place), math.sqrt(1 - place))):
            weight[2 * pair, ear] += loudness * np.cos(2 * np.pi * hz * seconds) * window
            weight[2 * pair + 1, ear] -= loudness * np.sin(2 * np.pi * hz * seconds) * window


def _build_output(layer: Any, rng: np.random.Generator) -> None:
    """Mix both ears: tones as they are, hats and shakers high-passed, the snare as it is."""
    weight = np.zeros(layer.weight_v.shape)
    weight[0, 0, 3] = weight[1, 1, 3] = 1
    for band in range(BANDS):
        weight[0, 2 + band] += 0.10 * HIGH_PASS * rng.normal()
        weight[1, 2 + band] += 0.10 * HIGH_PASS * rng.normal()
        loudness = 0.07 * rng.normal()
        weight[0, 2 + BANDS + band, 3] += loudness
        weight[1, 2 + BANDS + band, 3] += 0.8 * loudness
    set_convolution(layer, weight)
