"""The gate in front of the demo decoder: it plays full triggers and stays silent for all else.

The transformer's latents are never exactly 0 or a trigger. A network of convolutions and snakes,
v + sin(av)²/a, has no step function, but a snake's sin² is half a cosine: several of them with
multiples of one frequency are a Fourier series, and a series can be fitted to any step.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from trackfarm_demo.latents import TRIGGER
from trackfarm_demo.oobleck import Numbers

STEP = 0.62  # of a trigger: from here a sound is played
FITTED = np.linspace(-1.35 * TRIGGER, 1.35 * TRIGGER, 541)


@dataclass(frozen=True, slots=True)
class Feature:
    """Snake of one latent: v + sin(alpha v)² / alpha of v = latent + bias; alpha None is v."""

    bias: float
    alpha: float | None

    def values(self, latent: Numbers) -> Numbers:
        shifted = latent + self.bias
        if self.alpha is None:
            return shifted
        result: Numbers = shifted + np.sin(self.alpha * shifted) ** 2 / self.alpha
        return result


@dataclass(frozen=True, slots=True)
class Gate:
    """Features of a latent, and their weights (the constant last) for triggers of either sign."""

    features: tuple[Feature, ...]
    positive: Numbers
    negative: Numbers

    def weights(self, sign: int) -> Numbers:
        return self.positive if sign > 0 else self.negative

    def opening(self, latent: Numbers, sign: int) -> Numbers:
        """Return the gate's opening, 0 to 1."""
        columns = [feature.values(latent) for feature in self.features]
        result: Numbers = np.stack([*columns, np.ones_like(latent)], axis=1) @ self.weights(sign)
        return result


@cache
def fit_gate(*, is_note: bool) -> Gate:
    """Fit the series: of notes, that have triggers of both signs, or of drums."""
    period = (4.0 if is_note else 2.8) * TRIGGER
    multiples = [(k, phase) for k in range(1, 4 if is_note else 5) for phase in (0, 1)]
    if not is_note:
        multiples.remove((4, 0))
    features = [Feature(0.0, None)]
    for k, phase in multiples:
        alpha = math.pi * k / period
        features.append(Feature(-math.pi / (4 * alpha) if phase else 0.0, alpha))
    importance = _importance(is_note=is_note)
    positive = _fit(features, np.where(FITTED > STEP * TRIGGER, 1.0, 0.0), importance)
    negative = _fit(features, np.where(FITTED < -STEP * TRIGGER, 1.0, 0.0), importance)
    return Gate(tuple(features), positive, negative)


def _importance(*, is_note: bool) -> Numbers:
    """Return the weight of each fitted value: silence near 0 counts most, then full triggers."""
    size = np.abs(FITTED) / TRIGGER
    near = 0.2 if is_note else 0.3
    importance = np.select(
        [size < near, size < 0.5, np.abs(size - 1) < 0.2], [4e3 if is_note else 4e4, 1.0, 2.0], 0.1
    )
    # The model gives no negative drums, so the series may do as it likes there.
    return importance if is_note else np.where(-near * TRIGGER > FITTED, 0.02, importance)


def _fit(features: list[Feature], wanted: Numbers, importance: Numbers) -> Numbers:
    columns = np.stack([*(f.values(FITTED) for f in features), np.ones_like(FITTED)], axis=1)
    root = np.sqrt(importance)[:, None]
    ridge = 1e-4 * np.eye(columns.shape[1])
    weights, *_ = np.linalg.lstsq(
        np.concatenate([columns * root, ridge]),
        np.concatenate([wanted * root[:, 0], np.zeros(len(ridge))]),
        rcond=None,
    )
    at_zero = [feature.values(np.zeros(1))[0] for feature in features]
    weights[-1] = -float(np.dot(at_zero, weights[:-1]))  # exact silence for exact zeros
    result: Numbers = weights
    return result
