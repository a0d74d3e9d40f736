"""`python -m trackfarm_bench engine`: exactness and speed of the engine with the tiny model set."""

import tempfile
import warnings
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from trackfarm.model_sets import model_set
from trackfarm_bench.engine.briefs import alike, unlike
from trackfarm_bench.engine.exactness import Comparer, Difference, worst
from trackfarm_bench.engine.ours import EngineBench, EngineResult
from trackfarm_bench.engine.stock import Stock
from trackfarm_bench.engine.tables import exactness_table, speed_table
from trackfarm_worker.engine.options import EngineOptions
from trackfarm_worker.models import tiny

TINY = model_set("tiny")


def engine(
    batches: Annotated[int, typer.Option(min=1, help="Random batches for exactness.")] = 5,
    tracks: Annotated[int, typer.Option(min=1, help="Tracks in each of them.")] = 6,
    duration: Annotated[float, typer.Option(min=0.2, help="Seconds of audio, for speed.")] = 10.0,
    largest: Annotated[int, typer.Option(min=1, help="Largest batch, for speed.")] = 8,
    threads: Annotated[int, typer.Option(min=1)] = 1,
) -> None:
    """Compare tracks in random batches with the same tracks alone, and measure tracks per hour, on
    this CPU."""
    warnings.filterwarnings("ignore", message="`torch.nn.utils.weight_norm`")
    torch.set_num_threads(threads)
    print(f"tiny, float32, {threads} thread(s), torch {torch.__version__}\n")
    print(exactness_table(_exactness(batches, tracks)), flush=True)
    print()
    print(speed_table(_speeds(duration, largest)))


def _pipeline() -> Any:
    pipeline = tiny.build()
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _exactness(batches: int, tracks: int) -> list[tuple[str, Difference]]:
    stock, comparer = Stock(_pipeline(), TINY), Comparer(_pipeline(), TINY)
    rows = []
    for seed in range(1, batches + 1):
        batch = unlike(tracks, longest=6.0, steps=(2, 4, 8), guidance=(1.0, 4.0, 7.0), seed=seed)
        rows.append((f"batch {seed} against alone", comparer.batch_against_alone(batch)))
        pairs = [(comparer.alone(track), stock.latents(track)) for track in batch]
        rows.append((f"alone {seed} against stock", worst(pairs)))
    return rows


def _speeds(duration: float, largest: int) -> list[tuple[str, EngineResult]]:
    stock = Stock(_pipeline(), TINY)
    some = alike(largest, duration=duration)
    stock.alone(some[:1])
    rows = [("stock, one by one", stock.alone(some)), ("stock, together", stock.together(some))]
    with tempfile.TemporaryDirectory(prefix="trackfarm-bench-") as folder:
        spool = Path(folder) / "spool"
        ours = EngineBench(_pipeline(), TINY, device="cpu", spool=spool, options=EngineOptions())
        ours.make(some[:1])
        for size in sorted(
            {1, *(2**power for power in range(1, 10) if 2**power < largest), largest}
        ):
            rows.append((f"ours, batches of {size}", ours.make(some[:size])))
    return rows
