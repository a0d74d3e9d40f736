"""Cost model that learns the speed of each GPU type.

The service seconds of one track (the time for which it occupies its worker's engine) are modelled
as linear in the stages of the prior (`trackfarm.cost.stages`):

    seconds = fixed + denoise_factor * prior denoise + decode_factor * prior decode + noise

with noise in proportion to the prior's total. The three coefficients are learned for each (GPU,
model set) by Bayesian linear regression with a conjugate normal-inverse-gamma prior around the
table's own values (0 or the table's fixed part, 1, 1): C. Bishop, Pattern Recognition and Machine
Learning, section 3.3; Gelman et al., Bayesian Data Analysis, section 14.8. docs/planning.md has the
formulas.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any, Self

from trackfarm import cost
from trackfarm.cost import TrackShape
from trackfarm.matrix3 import (
    ZERO_MATRIX,
    ZERO_VECTOR,
    Matrix3,
    Vector3,
    blend,
    dot,
    inverse,
    outer,
    plus,
    quadratic,
    scaled,
    times,
)
from trackfarm.model_sets import ModelSet, model_set

HALF_LIFE = 2_000  # tracks after which an observation counts half, so that drift is followed
CLIP_SIGMAS = 5.0
SLOW_RATIO = 1.25  # a worker below this is not reported as slow
SLOW_SIGMAS = 3.0

_FADE = 0.5 ** (1 / HALF_LIFE)
_PRIOR_SPREAD = 0.55  # of a stage's factor: the table may be wrong by a factor of two
_PRIOR_CORRELATION = 0.7  # a card that denoises slower than the table says decodes slower as well
_FIXED_SPREAD = 0.1  # of the prior seconds of the reference track
_PRIOR_NOISE = 0.2  # relative, of one track
_PRIOR_SHAPE = 2.0  # of the inverse gamma: as much knowledge of the noise as two tracks give
_LEAST_SHARE = 0.05  # no track is predicted below this share of its prior
_REFERENCE_SECONDS = 60.0
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Estimate:
    """Uncertain number of seconds; `low` to `high` holds four times out of five."""

    mean: float
    sd: float

    @property
    def low(self) -> float:
        return self.quantile(0.1)

    @property
    def high(self) -> float:
        return self.quantile(0.9)

    def quantile(self, p: float) -> float:
        """Return a quantile of the log-normal with this mean and sd: time is never negative."""
        if self.mean <= 0 or self.sd <= 0:
            return self.mean
        spread = math.sqrt(math.log1p((self.sd / self.mean) ** 2))
        return self.mean * math.exp(NormalDist().inv_cdf(p) * spread - spread**2 / 2)


@dataclass(frozen=True, slots=True)
class _Posterior:
    """Posterior of the coefficients.

    `shift` is their difference from the prior, with covariance `noise` * `spread`; `noise` is the
    variance of one track relative to its prior seconds.
    """

    shift: Vector3
    spread: Matrix3
    noise: float


@dataclass(frozen=True, slots=True)
class SpeedModel:
    """Learned speed of one GPU type with one model set; immutable.

    `tracks` counts all observations; `weight`, `gram`, `cross` and `square` are their sufficient
    statistics as differences from the prior, with older ones fading.
    """

    gpu: str
    kind: ModelSet
    tracks: int = 0
    weight: float = 0.0
    gram: Matrix3 = ZERO_MATRIX
    cross: Vector3 = ZERO_VECTOR
    square: float = 0.0

    def observe(self, shape: TrackShape, service_seconds: float) -> "SpeedModel":
        """Return the model after one more track. Outliers are clipped to 5 sigma.

        Raises ValueError for seconds that are not a positive finite number.
        """
        return self.observe_total({shape: 1}, service_seconds)

    def observe_total(
        self, counts: Mapping[TrackShape, int], service_seconds: float
    ) -> "SpeedModel":
        """Return the model after tracks with a known total time only, such as a batch.

        Raises ValueError for no tracks, or for seconds that are not a positive finite number.
        """
        if not 0 < service_seconds < math.inf:
            raise ValueError(f"service seconds must be positive and finite, got {service_seconds}")
        number = sum(counts.values())
        if number < 1:
            raise ValueError("no tracks to learn from")
        features, scale = self._sums(counts)
        x = scaled(features, 1 / math.sqrt(scale))
        excess = service_seconds / math.sqrt(scale) - dot(x, self._prior_mean())
        y = self._clipped(x, excess)
        fade = _FADE**number
        return replace(
            self,
            tracks=self.tracks + number,
            weight=fade * self.weight + 1,
            gram=blend(self.gram, fade, outer(x)),
            cross=plus(scaled(self.cross, fade), scaled(x, y)),
            square=fade * self.square + y * y,
        )

    def predict(self, shape: TrackShape) -> Estimate:
        """Return the service seconds of one track."""
        return self.predict_total({shape: 1})

    def predict_total(self, counts: Mapping[TrackShape, int]) -> Estimate:
        """Return the service seconds of many tracks, one after the other.

        Uncertainty about the machine is shared by all of them and does not average out; the noise
        of the single tracks does.
        """
        features, scale = self._sums(counts)
        posterior = self._posterior()
        prior = dot(features, self._prior_mean())
        mean = max(prior + dot(features, posterior.shift), _LEAST_SHARE * prior)
        return Estimate(
            mean, math.sqrt(posterior.noise * (scale + quadratic(posterior.spread, features)))
        )

    @property
    def relative_speed(self) -> float:
        """Speed relative to the prior, for a track of a minute."""
        shape = self._reference()
        return self._prior_seconds(shape) / self.predict(shape).mean

    def is_slow(self, counts: Mapping[TrackShape, int], service_seconds: float) -> bool:
        """Return True if a worker is significantly and materially slower than its GPU type.

        `service_seconds` is its time for all these tracks.
        """
        expected = self.predict_total(counts)
        excess = service_seconds - expected.mean
        return service_seconds > SLOW_RATIO * expected.mean and excess > SLOW_SIGMAS * expected.sd

    def to_json(self) -> str:
        """Return the learned state as JSON, in some 300 bytes."""
        return json.dumps(
            {
                "version": _VERSION,
                "gpu": self.gpu,
                "model_set": self.kind.name,
                "prior_seconds": self._prior_seconds(self._reference()),
                "tracks": self.tracks,
                "weight": self.weight,
                "gram": self.gram,
                "cross": self.cross,
                "square": self.square,
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read the text of `to_json`.

        Returns an untrained model if the prior table has changed since, because the learned values
        are relative to the table. Raises ValueError for another version or other text,
        UnknownModelSet for its model set.
        """
        try:
            stored: dict[str, Any] = json.loads(text)
            if stored["version"] != _VERSION:
                raise ValueError(f"version {stored['version']} of a speed model is not known")
            fresh = cls(stored["gpu"], model_set(stored["model_set"]))
            if not math.isclose(
                stored["prior_seconds"], fresh._prior_seconds(fresh._reference()), rel_tol=1e-9
            ):
                return fresh
            return replace(
                fresh,
                tracks=int(stored["tracks"]),
                weight=float(stored["weight"]),
                gram=_matrix(stored["gram"]),
                cross=_vector(stored["cross"]),
                square=float(stored["square"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a speed model: {error!r}") from error

    def _posterior(self) -> _Posterior:
        spread = inverse(blend(self.gram, 1.0, self._prior_precision()))
        shift = times(spread, self.cross)
        misfit = max(self.square - dot(shift, self.cross), 0.0)
        scale = _PRIOR_NOISE**2 * (_PRIOR_SHAPE - 1) + misfit / 2
        return _Posterior(shift, spread, scale / (_PRIOR_SHAPE + self.weight / 2 - 1))

    def _clipped(self, x: Vector3, y: float) -> float:
        posterior = self._posterior()
        reach = CLIP_SIGMAS * math.sqrt(posterior.noise * (1 + quadratic(posterior.spread, x)))
        return min(max(y, dot(x, posterior.shift) - reach), dot(x, posterior.shift) + reach)

    def _sums(self, counts: Mapping[TrackShape, int]) -> tuple[Vector3, float]:
        """Return the summed features of all tracks, and the sum of their squared prior seconds."""
        number, denoise, decode, squares = 0, 0.0, 0.0, 0.0
        for shape, count in counts.items():
            stages = cost.stages(shape, gpu=self.gpu, model_set=self.kind)
            number += count
            denoise += count * stages.denoise
            decode += count * stages.decode
            squares += count * stages.total**2
        return (float(number), denoise, decode), squares

    def _prior_mean(self) -> Vector3:
        return (cost.stages(self._reference(), gpu=self.gpu, model_set=self.kind).fixed, 1.0, 1.0)

    def _prior_precision(self) -> Matrix3:
        fixed = self._prior_mean()[0] + _FIXED_SPREAD * self._prior_seconds(self._reference())
        alone = (_PRIOR_SPREAD / _PRIOR_NOISE) ** 2
        joint = _PRIOR_CORRELATION * alone
        covariance = (
            ((fixed / _PRIOR_NOISE) ** 2, 0.0, 0.0),
            (0.0, alone, joint),
            (0.0, joint, alone),
        )
        return inverse(covariance)

    def _prior_seconds(self, shape: TrackShape) -> float:
        return cost.seconds(shape, gpu=self.gpu, model_set=self.kind)

    def _reference(self) -> TrackShape:
        return TrackShape(_REFERENCE_SECONDS, self.kind.default_steps, self.kind.cfg)


def _vector(values: Any) -> Vector3:
    first, second, third = map(float, values)
    return (first, second, third)


def _matrix(rows: Any) -> Matrix3:
    first, second, third = map(_vector, rows)
    return (first, second, third)
