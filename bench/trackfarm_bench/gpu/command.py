"""`python -m trackfarm_bench gpu`: all measurements of a GPU in one run."""

import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Annotated

import torch
import typer

from trackfarm_bench.gpu import scenario as scenarios
from trackfarm_bench.gpu.busy import measure_busy
from trackfarm_bench.gpu.floor import matmul_tflops
from trackfarm_bench.gpu.measuring import measure
from trackfarm_bench.gpu.report import GpuHardware, page
from trackfarm_bench.gpu.scenario import NAMES, GpuScenario
from trackfarm_worker import gpu as gpu_info
from trackfarm_worker.engine.options import EngineOptions

NO_GPU = 2


def gpu(
    model: Annotated[
        list[str] | None, typer.Option(help=f"Repeat for several. Default: {', '.join(NAMES)}.")
    ] = None,
    duration: Annotated[
        list[float] | None, typer.Option(help="Seconds of audio; default 60, 120 and 240.")
    ] = None,
    compiled: Annotated[bool, typer.Option(help="Compile DiT and decoder.")] = False,
    expand_heads: Annotated[bool, typer.Option(help="Repeat K/V heads before attention.")] = False,
    busy: Annotated[
        bool, typer.Option(help="Also measure encoding and upload; needs disk for a checkpoint.")
    ] = True,
    out: Annotated[Path, typer.Option(help="Folder for gpu-<name>.md.")] = Path("bench/results"),
    dry_run_tiny: Annotated[bool, typer.Option(help="Use the tiny model on the CPU.")] = False,
) -> None:
    """Compare the engine at real size with the stock pipeline, on the CUDA device of this
    machine."""
    if not dry_run_tiny and not torch.cuda.is_available():
        print("no CUDA device found; try --dry-run-tiny", file=sys.stderr)
        raise typer.Exit(NO_GPU)
    warnings.filterwarnings("ignore", message="`torch.nn.utils.weight_norm`")
    chosen = scenarios.dry() if dry_run_tiny else _real(model, duration)
    options = EngineOptions(
        compile_transformer=compiled, compile_decoder=compiled, expand_heads=expand_heads
    )
    hardware = _hardware(chosen)
    with tempfile.TemporaryDirectory(prefix="trackfarm-gpu-") as folder:
        text = _run(chosen, options, hardware, Path(folder), is_busy=busy)
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"gpu-{hardware.slug}.md"
    path.write_text(text, encoding="utf-8")
    print(f"{text}\nwritten to {path}")


def _real(model: list[str] | None, duration: list[float] | None) -> GpuScenario:
    try:
        encoders = max(1, (os.cpu_count() or 2) - 2)
        lengths = tuple(duration or (60.0, 120.0, 240.0))
        return scenarios.real(tuple(model or NAMES), lengths, encoders)
    except KeyError as error:
        raise typer.BadParameter(f"unknown {error}; choose from {', '.join(NAMES)}") from None


def _hardware(chosen: GpuScenario) -> GpuHardware:
    status = gpu_info.detect(chosen.device)
    return GpuHardware(
        gpu=status.name,
        memory_mib=status.memory_mib,
        driver=status.driver,
        torch=torch.__version__,
        dtype=str(chosen.dtype).removeprefix("torch."),
        tflops=matmul_tflops(chosen.device, chosen.dtype),
    )


def _run(
    chosen: GpuScenario,
    options: EngineOptions,
    hardware: GpuHardware,
    folder: Path,
    *,
    is_busy: bool,
) -> str:
    checkpoint = folder / "checkpoint"
    results = []
    for position, model in enumerate(chosen.models):
        print(f"measuring {model.model_set.name}", file=sys.stderr, flush=True)
        keep = checkpoint if is_busy and position == 0 else None
        results.append(
            measure(model, chosen, options=options, spool=folder / "spool-ours", keep=keep)
        )
    busy = measure_busy(chosen, checkpoint, folder) if is_busy else None
    command = f"python -m trackfarm_bench {' '.join(['gpu', *sys.argv[1:]])}"
    return page(hardware, results, busy, command.replace("gpu gpu", "gpu"))
