"""How much of the time a worker's engine is at work, with real encoding and uploads behind it."""

from collections.abc import Iterator
from pathlib import Path

from trackfarm.catalog import Brief
from trackfarm_bench.engine.briefs import alike
from trackfarm_bench.gpu.scenario import Scenario
from trackfarm_bench.pipeline.worker import Busy, pipeline_worker
from trackfarm_worker.engine.messages import EngineTrack
from trackfarm_worker.engine.settings import EngineSettings


def measure_busy(scenario: Scenario, checkpoint: Path, folder: Path) -> Busy:
    """Raises RuntimeError when a track could not be made and stored."""
    settings = EngineSettings(
        model_set=scenario.models[0].model_set.name,
        spool=folder / "spool",
        source=checkpoint,
        device=scenario.device,
        dtype=str(scenario.dtype).removeprefix("torch."),
    )
    brief = Brief(prompt="a bench", duration=60)
    with pipeline_worker(settings, encoders=scenario.encoders, brief=brief) as worker:
        first, *others = _shards(scenario)
        worker.run([first])
        return worker.run(others)


def _shards(scenario: Scenario) -> Iterator[list[EngineTrack]]:
    """One to warm up with, then as many as the scenario has."""
    tracks = alike(scenario.shard_tracks, duration=scenario.shard_duration, steps=scenario.steps)
    for number in range(scenario.shards + 1):
        first = number * scenario.shard_tracks
        yield [t.model_copy(update={"track_id": first + t.track_id}) for t in tracks]
