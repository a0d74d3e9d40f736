"""Results as a Markdown page."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from trackfarm_bench.engine.tables import markdown
from trackfarm_bench.gpu.floor import track_tflop
from trackfarm_bench.gpu.measuring import GpuRow, ModelResult
from trackfarm_bench.gpu.scenario import BenchModel
from trackfarm_bench.pipeline.worker import Utilisation

DRY = "**A dry run with the tiny model: it shows that this bench runs, and nothing about a card.**"


@dataclass(frozen=True, slots=True)
class GpuHardware:
    """The machine; `tflops` is the measured rate of the GPU on large matrices in the same run."""

    gpu: str
    memory_mib: int
    driver: str
    torch: str
    dtype: str
    tflops: float

    @property
    def slug(self) -> str:
        return re.sub(r"[^a-z0-9]+", "-", self.gpu.lower()).strip("-")


def page(
    hardware: GpuHardware, results: Sequence[ModelResult], busy: Utilisation | None, command: str
) -> str:
    is_dry = any(result.model.size is None for result in results)
    parts = [_head(hardware, command), *([DRY] if is_dry else [])]
    for result in results:
        parts.append(f"## {result.model.model_set.name}\n\n{_speeds(result, hardware.tflops)}")
        parts.append(_summary(result))
        parts.append(_exactness(result))
    if busy is not None:
        parts.append(_busy(busy))
    return "\n\n".join(parts) + "\n"


def _head(hardware: GpuHardware, command: str) -> str:
    return (
        f"# Engine on {hardware.gpu}\n\n"
        f"{hardware.memory_mib:,} MiB, driver {hardware.driver or '-'}, torch {hardware.torch}, "
        f"{hardware.dtype}; {hardware.tflops:,.1f} TFLOP/s on large matrices in this run. Random "
        "weights: they cost what trained ones cost.\n\n"
        f"```console\n$ {command}\n```"
    )


def _speeds(result: ModelResult, tflops: float) -> str:
    stock = {
        row.duration: row.result.per_hour
        for row in result.rows
        if row.what == "stock, one by one" and row.result
    }
    head = (
        "what",
        "audio",
        "batch",
        "tracks/h",
        "of stock alone",
        "of the floor",
        "denoise",
        "decode",
        "peak GB",
    )
    rows = [_cells(row, result.model, stock, tflops) for row in result.rows]
    return markdown(head, rows)


def _summary(result: ModelResult) -> str:
    """Return the best of the stock pipeline against the best of ours, for each length."""
    rows = []
    for duration in dict.fromkeys(row.duration for row in result.rows):
        rows_of_length = [row for row in result.rows if row.duration == duration and row.result]
        ours = max(
            (r.result.per_hour for r in rows_of_length if r.result and r.what == "ours"),
            default=0.0,
        )
        stock = max(
            (r.result.per_hour for r in rows_of_length if r.result and r.what != "ours"),
            default=0.0,
        )
        ratio = f"{ours / stock:.2f}" if stock else "-"
        rows.append([f"{duration:g} s", f"{stock:,.0f}", f"{ours:,.0f}", ratio])
    return markdown(("audio", "stock at its best, tracks/h", "ours at its best", "ratio"), rows)


def _cells(row: GpuRow, model: BenchModel, stock: dict[float, float], tflops: float) -> list[str]:
    cells = [row.what, f"{row.duration:g} s", str(row.batch)]
    if row.result is None:
        return [*cells, "out of memory", *["-"] * 5]
    result = row.result
    stages = [result.denoise, result.decode]
    shares = [f"{part / result.seconds:.0%}" if any(stages) else "-" for part in stages]
    return [
        *cells,
        f"{result.per_hour:,.0f}",
        f"{result.per_hour / stock[row.duration]:.2f}",
        _floor_share(row, model, result.seconds / result.tracks, tflops),
        *shares,
        f"{result.peak_gb:.1f}" if result.peak_gb else "-",
    ]


def _floor_share(row: GpuRow, model: BenchModel, seconds: float, tflops: float) -> str:
    if model.size is None:
        return "-"
    steps = model.model_set.default_steps
    least = (
        track_tflop(model.size, row.duration, steps=steps, guided=model.model_set.is_guided)
        / tflops
    )
    return f"{least / seconds:.0%}"


def _exactness(result: ModelResult) -> str:
    difference = result.exactness
    return (
        f"A batch of unlike tracks against the same alone, worst track: latents {difference.relative:.1e}"
        f" relative L2, cosine {difference.cosine:.6f}, audio {difference.audio:.1e} at most."
    )


def _busy(busy: Utilisation) -> str:
    return (
        "## Engine, encoders and upload together\n\n"
        f"{busy.tracks} tracks in {busy.seconds:.1f} s ({3600 * busy.tracks / busy.seconds:,.0f} "
        f"an hour), {busy.megabytes:,.1f} MB uploaded to loopback; the engine was occupied "
        f"{busy.share:.1%} of the time, its device {busy.device:.1%}."
    )
