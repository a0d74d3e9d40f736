"""What is believed of the seconds that a worker says it measured (`RegisterRequest.calibration`).

Pure. A worker may be broken or lie: nothing is believed beyond `TRUST` times the prior, and what its
tracks take replaces it soon.
"""

import math
import re
from collections.abc import Mapping

from trackfarm import cost
from trackfarm.cost import TrackShape
from trackfarm.model_sets import ModelSet
from trackfarm.speed import SpeedModel
from trackfarm.tiers import LONGEST, TRUST

MOST_POINTS = 8  # a calibration has five lengths
_SECONDS = re.compile(r"seconds_(\d{1,3}(?:\.\d{1,3})?)s")


def points(
    calibration: Mapping[str, float], *, gpu: str, model_set: ModelSet
) -> dict[TrackShape, float]:
    """Service seconds of a track of each length that was measured, shortest first."""
    found: dict[TrackShape, float] = {}
    for name, seconds in calibration.items():
        match = _SECONDS.fullmatch(name)
        if match and 0 < float(match[1]) <= LONGEST and 0 < seconds < math.inf:
            shape = TrackShape(float(match[1]), model_set.default_steps, model_set.is_guided)
            prior = cost.seconds(shape, gpu=gpu, model_set=model_set)
            found[shape] = min(max(seconds, prior / TRUST), prior * TRUST)
    return dict(sorted(found.items(), key=lambda point: point[0].duration)[:MOST_POINTS])


def begun(model: SpeedModel, measured: Mapping[TrackShape, float]) -> SpeedModel:
    """The model of a kind that nobody has reported of begins with these, one track each; one that
    tracks have taught stays as it is."""
    if model.tracks:
        return model
    for shape, seconds in measured.items():
        model = model.observe(shape, seconds)
    return model


def speed_in_kind(model: SpeedModel, measured: Mapping[TrackShape, float]) -> float:
    """How many times as fast as its kind the worker is that measured these; 1 where it did not."""
    took = sum(measured.values())
    if not took:
        return 1.0
    usual = sum(model.predict(shape).mean for shape in measured)
    return min(max(usual / took, 1 / TRUST), TRUST)
