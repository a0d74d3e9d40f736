"""`python -m trackfarm_bench pipeline`: measure whether encoding and uploads delay the engine's
device."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from trackfarm.catalog import Brief
from trackfarm.catalog.vocabulary import AudioFormat
from trackfarm_bench.engine.briefs import alike
from trackfarm_bench.engine.tables import markdown
from trackfarm_bench.meters import Meters
from trackfarm_bench.pipeline.worker import PipelineWorker, Utilisation, pipeline_worker
from trackfarm_worker.engine.options import EngineOptions, SyntheticCost
from trackfarm_worker.engine.parent.settings import SYNTHETIC, EngineSettings
from trackfarm_worker.engine.protocol import EngineTrack

STEPS = 8
SHARD = 32  # tracks; about the size of a real shard
LAUNCH = 0.001
PROBE = SHARD


def pipeline(
    tracks: Annotated[int, typer.Option(min=16, help="Tracks of each format.")] = 500,
    duration: Annotated[float, typer.Option(min=10, help="Seconds of audio per track.")] = 60.0,
    audio_format: Annotated[list[str] | None, typer.Option("--format")] = None,
    margin: Annotated[
        float, typer.Option(min=0.1, help="Device time of a track over its time on all cores.")
    ] = 1.25,
    encoders: Annotated[int, typer.Option(min=1)] = os.cpu_count() or 1,
) -> None:
    """Measure the utilisation of a device that only waits, with real encoding and uploads.

    The time of a track on the device is `margin` times the time to encode and upload it on all
    cores.
    """
    head = ("format", "tracks", "encode + upload", "on the device", "device busy", "engine busy")
    rows = []
    for name in audio_format or ["mp3", "flac"]:
        brief = Brief.model_validate(
            {"prompt": "a bench", "duration": duration, "audio_format": name}
        )
        rows.append(_row(brief.audio_format, *_measured(brief, tracks, margin, encoders)))
        print(rows[-1], flush=True)
    print(markdown((*head, "peak memory"), rows))


def _row(
    name: AudioFormat, cpu: float, cost: float, busy: Utilisation, peak: float
) -> tuple[str, ...]:
    return (
        name,
        f"{busy.tracks:,}",
        f"{cpu:.2f} s",
        f"{cost:.2f} s",
        f"{busy.device:.1%}",
        f"{busy.share:.1%}",
        f"{peak:,.0f} MiB",
    )


def _measured(
    brief: Brief, tracks: int, margin: float, encoders: int
) -> tuple[float, float, Utilisation, float]:
    """Return the CPU seconds to finish one track, its seconds on the device, the run, and its peak
    memory."""
    with _worker(brief, 0.0, encoders) as worker:
        worker.run(list(_shards(SHARD, brief.duration)))
        probe = worker.run(list(_shards(PROBE, brief.duration)))
    cpu = (probe.encoding + probe.uploading) / probe.tracks
    cost = margin * cpu / (os.cpu_count() or 1)
    with _worker(brief, cost, encoders) as worker:
        worker.run(list(_shards(SHARD, brief.duration)))
        with Meters({"engine": worker.engine_pid, "the rest": os.getpid()}) as meters:
            busy = worker.run(list(_shards(tracks, brief.duration)))
        return cpu, cost, busy, sum(part.peak_mib for part in meters.parts.values())


@contextmanager
def _worker(brief: Brief, cost: float, encoders: int) -> Iterator[PipelineWorker]:
    """Yield a worker. `cost`: seconds of a track on the device; the decoder is one pass of `STEPS`
    + 1."""
    each = cost / (STEPS + 1) / brief.duration
    synthetic = SyntheticCost(launch_seconds=LAUNCH, seconds_per_audio_second=each)
    with tempfile.TemporaryDirectory(prefix="trackfarm-bench-") as folder:
        settings = EngineSettings(
            model_set="tiny",
            spool=Path(folder) / "spool",
            device=SYNTHETIC,
            options=EngineOptions(synthetic=synthetic),
        )
        with pipeline_worker(settings, encoders=encoders, brief=brief) as worker:
            yield worker


def _shards(number: int, duration: float) -> Iterator[list[EngineTrack]]:
    for first in range(0, number, SHARD):
        some = alike(min(SHARD, number - first), duration=duration, steps=STEPS)
        yield [t.model_copy(update={"track_id": first + t.track_id}) for t in some]
