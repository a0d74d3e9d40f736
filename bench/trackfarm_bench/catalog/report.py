"""Results of the runs as Markdown."""

from collections.abc import Sequence

from trackfarm_bench.catalog.run import CatalogResult
from trackfarm_bench.engine.tables import markdown

STAGES = ("condition", "denoise", "decode")


def speed_table(runs: Sequence[CatalogResult]) -> str:
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
                result.mode.name,
                f"{result.seconds:.1f} s",
                f"{result.per_hour:,.0f}",
                f"{result.tracks / result.batches:.2f}",
                f"{result.passes / result.tracks:.2f}",
                f"{result.padded / (result.padded + result.audio):.1%}",
                f"{1000 * result.cpu / result.tracks:,.0f} ms",
            )
            for result in runs
        ],
    )


def stage_table(runs: Sequence[CatalogResult]) -> str:
    """Return milliseconds per track by stage: the engine's stages, its rest, and the stages that
    overlap it."""
    head = ("worker", *STAGES, "rest of the engine", "engine idle", "fetch", "encode", "upload")
    return markdown(head, [(result.mode.name, *_stages(result)) for result in runs])


def ratios(alone: CatalogResult, together: CatalogResult) -> str:
    """Compare the two runs: batches against one by one."""
    passes = (together.passes / together.tracks) / (alone.passes / alone.tracks)
    return (
        f"{together.mode.name} against {alone.mode.name}: {together.per_hour / alone.per_hour:.2f} "
        f"times the tracks an hour, {alone.service / together.service:.2f} times as fast in the "
        f"engine, {passes:.2f} of the passes, {together.cpu / alone.cpu:.2f} of the CPU time"
    )


def _stages(result: CatalogResult) -> list[str]:
    engine_stages = [result.stages.get(stage, 0.0) for stage in STAGES]
    rest = result.service - sum(engine_stages)
    overlapping = [result.stages.get(stage, 0.0) for stage in ("fetch", "encode", "upload")]
    seconds = [*engine_stages, rest, result.seconds - result.service, *overlapping]
    return [f"{1000 * part / result.tracks:,.0f} ms" for part in seconds]
