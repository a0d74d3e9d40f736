"""Results of the runs as Markdown."""

from collections.abc import Sequence

from trackfarm_bench.catalog.run import CatalogSeconds
from trackfarm_bench.engine.tables import markdown

STAGES = ("condition", "denoise", "decode")


def speed_table(runs: Sequence[CatalogSeconds]) -> str:
    head = (
        "worker",
        "time",
        "tracks/h",
        "tracks a batch",
        "DiT passes per track",
        "padding",
        "worker's CPU per track",
    )
    return markdown(
        head,
        [
            (
                took.way.name,
                f"{took.seconds:.1f} s",
                f"{took.per_hour:,.0f}",
                f"{took.tracks / took.batches:.2f}",
                f"{took.passes / took.tracks:.2f}",
                f"{took.padded / (took.padded + took.audio):.1%}",
                f"{1000 * took.cpu / took.tracks:,.0f} ms",
            )
            for took in runs
        ],
    )


def stage_table(runs: Sequence[CatalogSeconds]) -> str:
    """Return milliseconds per track by stage: the engine's stages, its rest, and the stages that
    overlap it."""
    head = ("worker", *STAGES, "rest of the engine", "engine idle", "fetch", "encode", "upload")
    return markdown(head, [(took.way.name, *_stages(took)) for took in runs])


def ratios(alone: CatalogSeconds, together: CatalogSeconds) -> str:
    """Compare the two runs: batches against one by one."""
    passes = (together.passes / together.tracks) / (alone.passes / alone.tracks)
    return (
        f"{together.way.name} against {alone.way.name}: {together.per_hour / alone.per_hour:.2f} "
        f"times the tracks an hour, {alone.service / together.service:.2f} times as fast in the "
        f"engine, {passes:.2f} of the passes, {together.cpu / alone.cpu:.2f} of the CPU time"
    )


def _stages(took: CatalogSeconds) -> list[str]:
    engine_stages = [took.stages.get(stage, 0.0) for stage in STAGES]
    rest = took.service - sum(engine_stages)
    overlapping = [took.stages.get(stage, 0.0) for stage in ("fetch", "encode", "upload")]
    seconds = [*engine_stages, rest, took.seconds - took.service, *overlapping]
    return [f"{1000 * part / took.tracks:,.0f} ms" for part in seconds]
