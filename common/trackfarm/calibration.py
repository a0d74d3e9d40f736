"""Speeds that a worker measured before it registered (`RegisterRequest.calibration`; pure).

A worker may be broken or lie: its values are clamped to a factor of `TRUST` around the prior, and
the durations of its tracks soon replace them.
"""

import math
import re
from collections.abc import Mapping

from trackfarm import cost
from trackfarm.cost import TrackShape
from trackfarm.model_sets import ModelSet
from trackfarm.speed_model import SpeedModel
from trackfarm.tiers import MAX_SECONDS, TRUST

MOST_POINTS = 8  # a calibration has five lengths
_SECONDS = re.compile(r"seconds_(\d{1,3}(?:\.\d{1,3})?)s")


def calibration_points(
    calibration: Mapping[str, float], *, gpu: str, model_set: ModelSet
) -> dict[TrackShape, float]:
    """Return the service seconds of a track of each measured length, shortest first."""
    seconds_by_shape: dict[TrackShape, float] = {}
    for name, seconds in calibration.items():
        match = _SECONDS.fullmatch(name)
        if match and 0 < float(match[1]) <= MAX_SECONDS and 0 < seconds < math.inf:
            shape = TrackShape(float(match[1]), model_set.default_steps, model_set.is_guided)
            prior = cost.seconds(shape, gpu=gpu, model_set=model_set)
            seconds_by_shape[shape] = min(max(seconds, prior / TRUST), prior * TRUST)
    shortest_first = sorted(seconds_by_shape.items(), key=lambda point: point[0].duration)
    return dict(shortest_first[:MOST_POINTS])


def seed_model(model: SpeedModel, points: Mapping[TrackShape, float]) -> SpeedModel:
    """Return the model of a GPU type, seeded with these points if it has no tracks yet.

    Each point counts as one track. A model that has learned from tracks is returned unchanged.
    """
    if model.tracks:
        return model
    for shape, seconds in points.items():
        model = model.observe(shape, seconds)
    return model


def calibrated_speed(model: SpeedModel, points: Mapping[TrackShape, float]) -> float:
    """Return the calibrated speed relative to the GPU type; 1.0 if not calibrated."""
    measured_seconds = sum(points.values())
    if not measured_seconds:
        return 1.0
    expected_seconds = sum(model.predict(shape).mean for shape in points)
    return min(max(expected_seconds / measured_seconds, 1 / TRUST), TRUST)
