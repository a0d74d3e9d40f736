"""Utilisation of a worker's engine, with real encoding and uploads after it."""

from collections.abc import Iterator
from pathlib import Path

from trackfarm.catalog import Brief
from trackfarm_bench.engine.briefs import alike
from trackfarm_bench.gpu.scenario import GpuScenario
from trackfarm_bench.pipeline.worker import Utilisation, pipeline_worker
from trackfarm_worker.engine.parent.settings import EngineSettings
from trackfarm_worker.engine.protocol import EngineTrack


def measure_busy(scenario: GpuScenario, checkpoint: Path, folder: Path) -> Utilisation:
    """Run and measure. Raises RuntimeError if a track could not be made and stored."""
    settings = EngineSettings(
        model_set=scenario.models[0].model_set.name,
        spool=folder / "spool",
        model_path=checkpoint,
        device=scenario.device,
        dtype=str(scenario.dtype).removeprefix("torch."),
    )
    brief = Brief(prompt="a bench", duration=60)
    with pipeline_worker(settings, encoders=scenario.encoders, brief=brief) as worker:
        first, *others = _shards(scenario)
        worker.run([first])
        return worker.run(others)


def _shards(scenario: GpuScenario) -> Iterator[list[EngineTrack]]:
    """Yield one shard for the warm-up, then as many as the scenario has."""
    tracks = alike(scenario.shard_tracks, duration=scenario.shard_duration, steps=scenario.steps)
    for number in range(scenario.shards + 1):
        first = number * scenario.shard_tracks
        yield [t.model_copy(update={"track_id": first + t.track_id}) for t in tracks]
