from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trackfarm_worker.engine.messages import EngineTrack
from trackfarm_worker.engine.process import EngineProcess
from trackfarm_worker.engine.settings import EngineSettings

TrackFactory = Callable[..., EngineTrack]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tiny checkpoint is cached for all tests of the engine."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="package")
def engine(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    """One engine for many tests. It waits 50 ms per step, so that a test can meddle between."""
    settings = EngineSettings(
        model_set="tiny",
        spool=tmp_path_factory.mktemp("spool"),
        source=models,
        step_delay=0.05,
        hang_seconds=10,
    )
    with EngineProcess(settings) as process:
        process.start()
        yield process


@pytest.fixture
def track() -> TrackFactory:
    def make(track_id: int, **fields: object) -> EngineTrack:
        values = {"prompt": "rain", "duration": 1.0, "seed": track_id, "steps": 2} | fields
        return EngineTrack.model_validate({"track_id": track_id} | values)

    return make
