"""The demo model's encoder: audio to triggers, so that a finished track can be repainted.

Built like the decoder in reverse: bands are cut out, each tone is shifted to 0 Hz (as a pair) and
its level taken by a snake, which squares small values. Only the last layer is fitted: by ridge
regression on composed pieces, from the levels of three neighbouring frames to the triggers.
"""

from typing import Any

import numpy as np
import torch

from trackfarm_demo.briefs import random_brief
from trackfarm_demo.composition import compose
from trackfarm_demo.latents import CHANNELS, PATCH
from trackfarm_demo.oobleck import Numbers, hann, neutralise, set_convolution, set_snake
from trackfarm_demo.vae_decoder import BLOCK_RATES, GRAIN_RATE, HIGH_PASS, PAIR_HZ, PAIRS

PIECE_FRAMES = 200
PEAK = 0.891  # -1 dBFS: finished tracks are normalised to it
NEIGHBOURS = 3
RIDGE = 3e-4
TRIGGER_WEIGHT = 7.0  # of a frame with triggers, in the regression
LOG_VARIANCE = -14.0  # the posterior is as good as its mean

LEVELS = 2 * PAIRS  # channels of band levels, behind the pairs
BANDS, BAND_PARTS = 3, 5  # high, upper and middle band; each in five parts of a frame
FEATURES = 4 * PAIRS + BANDS * BAND_PARTS
HALF_PHASE = 0.5


def build_encoder(vae: Any, seconds: int, seed: int) -> float:
    """Set all weights of the VAE's encoder; return the share of the triggers' variance that it
    explains. `seconds` is the length of the audio for the regression; its decoder is used."""
    encoder = vae.encoder
    neutralise(encoder)
    _build_bands(encoder)
    _build_demodulation(encoder)
    return _fit_last_layer(vae, seconds, seed)


def _build_bands(encoder: Any) -> None:
    """Cut out the bands and take their levels: a snake at alpha 1 makes v² of v and -v together."""
    weight = np.zeros(encoder.conv1.weight_v.shape)
    weight[0, :, 3] = 0.5  # both ears
    for ear in (0, 1):
        weight[1, ear], weight[2, ear] = 4 * HIGH_PASS, -4 * HIGH_PASS
    set_convolution(encoder.conv1, weight)
    set_snake(encoder.block[0].snake1, (1, 2), 0.0, 0.0)

    layer = encoder.block[0].conv1  # to 24 kHz
    weight = np.zeros(layer.weight_v.shape)
    low_pass = np.array([0.15, 0.35, 0.35, 0.15])
    alternating = 1.5 * np.array([-1, 1, -1, 1])
    weight[0, 0] = weight[1, 1] = weight[1, 2] = low_pass
    weight[3, 0], weight[4, 0] = alternating, -alternating
    set_convolution(layer, weight)
    set_snake(encoder.block[1].snake1, (3, 4), 0.0, 0.0)

    layer = encoder.block[1].conv1  # to 6 kHz
    weight = np.zeros(layer.weight_v.shape)
    taps = np.arange(weight.shape[2])
    window = hann(len(taps), is_normalised=True)
    quarter = 4 * window * np.cos(np.pi * (taps - (len(taps) - 1) / 2) * 0.5)
    weight[0, 0] = weight[1, 1] = weight[3, 3] = weight[3, 4] = window
    weight[5, 0], weight[6, 0] = quarter, -quarter
    set_convolution(layer, weight)
    set_snake(encoder.block[2].snake1, (5, 6), 0.0, 0.0)


def _build_demodulation(encoder: Any) -> None:
    """Shift every tone to 0 Hz, block by block, and take the level of its pair at 25 Hz."""
    levels = {2: ((1,), (3,), (5, 6)), 3: ((LEVELS,), (LEVELS + 1,), (LEVELS + 2,))}
    for number, rate in ((2, BLOCK_RATES[2]), (3, BLOCK_RATES[1]), (4, GRAIN_RATE)):
        layer = encoder.block[number].conv1
        weight = np.zeros(layer.weight_v.shape)
        taps = weight.shape[2]
        window = hann(taps, is_normalised=True)
        seconds = (np.arange(taps) - (taps / 2 - 0.5)) / rate
        for pair, hz in enumerate(PAIR_HZ):
            angle = 2 * np.pi * hz * seconds
            _demodulate(weight, number, pair, window * np.cos(angle), window * np.sin(angle))
        for band, sources in enumerate(levels.get(number, ())):
            for source in sources:
                weight[LEVELS + band, source] = window
        if number == 4:
            _split_levels(weight)
        set_convolution(layer, weight)
    set_snake(encoder.snake1, range(4 * PAIRS), 0.0, 0.0)
    set_snake(encoder.snake1, range(4 * PAIRS, FEATURES), HALF_PHASE, HALF_PHASE)


def _demodulate(weight: Numbers, number: int, pair: int, cosine: Numbers, sine: Numbers) -> None:
    real, imaginary = 2 * pair, 2 * pair + 1
    if number == 2:  # from sound to a pair
        weight[real, 0], weight[imaginary, 0] = 2 * cosine, -2 * sine
    elif number == 3:
        weight[real, real], weight[real, imaginary] = cosine, sine
        weight[imaginary, imaginary], weight[imaginary, real] = cosine, -sine
    else:  # both signs of both parts, for the squares
        for first, sign in ((4 * pair, 2.0), (4 * pair + 2, -2.0)):
            weight[first, real], weight[first, imaginary] = sign * cosine, sign * sine
            weight[first + 1, imaginary], weight[first + 1, real] = sign * cosine, -sign * sine


def _split_levels(weight: Numbers) -> None:
    taps = weight.shape[2] // BAND_PARTS
    for band in range(BANDS):
        for part in range(BAND_PARTS):
            feature = 4 * PAIRS + BAND_PARTS * band + part
            weight[feature, LEVELS + band, taps * part : taps * (part + 1)] = 1 / taps


def _fit_last_layer(vae: Any, seconds: int, seed: int) -> float:
    features, triggers = _examples(vae, seconds, seed)
    inputs = np.concatenate([features, np.ones((len(features), 1))], axis=1)
    importance = 1 + (TRIGGER_WEIGHT - 1) * (np.abs(triggers).max(axis=1) > 0)
    squares = inputs.T @ (inputs * importance[:, None])
    ridge = RIDGE * np.diag(squares).mean() * np.eye(len(squares))
    solution = np.linalg.solve(squares + ridge, inputs.T @ (triggers * importance[:, None]))

    weight = np.zeros(vae.encoder.conv2.weight_v.shape)
    bias = np.full(2 * CHANNELS, LOG_VARIANCE)
    bias[:CHANNELS] = solution[-1]
    for tap in range(NEIGHBOURS):
        weight[:CHANNELS, :FEATURES, tap] = solution[tap * FEATURES : (tap + 1) * FEATURES].T
    set_convolution(vae.encoder.conv2, weight, bias)
    error = ((inputs @ solution - triggers) ** 2).sum()
    return float(1 - error / (triggers**2).sum())


@torch.inference_mode()
def _examples(vae: Any, seconds: int, seed: int) -> tuple[Numbers, Numbers]:
    """Return features (frames, 3 neighbours of FEATURES) of composed pieces, and their triggers."""
    rng = np.random.default_rng(seed)
    features, triggers = [], []
    for _ in range(seconds // 8):
        piece = random_brief(rng).piece
        latents = compose(rng, piece, PATCH * int(rng.integers(100)), PIECE_FRAMES)
        audio = vae.decode(torch.from_numpy(latents.T[None].copy())).sample
        levels = _levels(vae.encoder, audio / audio.abs().max() * PEAK)
        nothing = np.zeros((1, FEATURES))
        before, after = np.vstack([nothing, levels[:-1]]), np.vstack([levels[1:], nothing])
        features.append(np.hstack([before, levels, after]))
        triggers.append(latents.astype(np.float64))
    return np.vstack(features), np.vstack(triggers)


def _levels(encoder: Any, audio: torch.Tensor) -> Numbers:
    hidden = encoder.conv1(audio)
    for block in encoder.block:
        hidden = block(hidden)
    levels: Numbers = encoder.snake1(hidden)[0, :FEATURES].T.numpy().astype(np.float64)
    return levels
