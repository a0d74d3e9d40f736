"""A tiny engine and its models, shared by many tests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.worker.engine.builders import TrackFactory, tiny_pipeline
from tests.worker.engine.mixtures import SourceFiles
from trackfarm_worker.engine.parent.client import EngineClient
from trackfarm_worker.engine.parent.settings import EngineSettings
from trackfarm_worker.engine.protocol import EngineTrack

RATE = 48_000


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tiny checkpoint, cached for all engine tests."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="package")
def engine(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineClient]:
    """Engine shared by many tests. It waits 50 ms per step, so that a test can act between steps."""
    settings = EngineSettings(
        model_set="tiny",
        spool=tmp_path_factory.mktemp("spool"),
        model_path=models,
        step_delay=0.05,
        hang_seconds=10,
    )
    with EngineClient(settings) as process:
        process.start()
        yield process


@pytest.fixture
def track() -> TrackFactory:
    def make(track_id: int, **fields: object) -> EngineTrack:
        values = {"prompt": "rain", "duration": 1.0, "seed": track_id, "steps": 2} | fields
        return EngineTrack.model_validate({"track_id": track_id} | values)

    return make


@pytest.fixture(scope="package")
def stock(models: Path) -> Any:
    """Unmodified shared pipeline."""
    return tiny_pipeline(models)


@pytest.fixture(scope="package")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> SourceFiles:
    """Noise as source (an odd number of latents, the last one partial) and as reference."""
    folder = tmp_path_factory.mktemp("sounds")
    random = np.random.default_rng(5)
    paths = []
    for name, frames in (("source", 1920 * 100 + 700), ("reference", 2 * RATE)):
        paths.append(folder / f"{name}.npy")
        np.save(paths[-1], 0.2 * random.standard_normal((frames, 2)).astype(np.float32))
    return SourceFiles(*paths)
