"""Builders of the tests of the engine."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from trackfarm.model_sets import model_set
from trackfarm_worker.engine.protocol import EngineTrack
from trackfarm_worker.models.loader import load

TrackFactory = Callable[..., EngineTrack]


def tiny_pipeline(models: Path) -> Any:
    """Load a tiny pipeline of its own for a test, on one thread."""
    return built_in_pipeline("tiny", models)


def built_in_pipeline(name: str, models: Path) -> Any:
    """Load a built-in pipeline of its own for a test, on one thread."""
    torch.set_num_threads(1)
    with pytest.warns(FutureWarning, match="weight_norm"):
        return load(model_set(name), models, device="cpu").pipeline
