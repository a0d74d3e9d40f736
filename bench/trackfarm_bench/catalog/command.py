"""`python -m trackfarm_bench catalog`: the speedup by batches on a complete farm."""

from enum import StrEnum
from typing import Annotated

import typer

from trackfarm_bench.catalog.report import ratios, speed_table, stage_table
from trackfarm_bench.catalog.run import CatalogResult, WorkerMode, measure, together
from trackfarm_worker.engine.options import EngineOptions, SyntheticCost
from trackfarm_worker.engine.parent.settings import SYNTHETIC

LAUNCH = 0.1
"""Seconds of a synthetic pass, whatever its batch: long enough for two cores to encode meanwhile.
The eager launches of the 24-layer DiT take one core 16 ms, for which an H200 waits at up to 150 s
of audio."""


class DeviceChoice(StrEnum):
    CPU = "cpu"
    SYNTHETIC = "synthetic"


def catalog(
    tracks: Annotated[int, typer.Option(min=8, help="Tracks of the catalog.")] = 200,
    device: Annotated[list[DeviceChoice] | None, typer.Option(help="Default: both.")] = None,
    launch: Annotated[
        float, typer.Option(min=0, help="Seconds of a synthetic pass, whatever its batch.")
    ] = LAUNCH,
    each: Annotated[
        float, typer.Option(min=0, help="Seconds of a synthetic pass per second of audio.")
    ] = 0.0,
    parts: Annotated[
        int, typer.Option(min=1, help="Parts of the catalog; the two modes alternate on them.")
    ] = 1,
) -> None:
    """Measure a mixed catalog on a farm with one worker of the tiny model set, one track at a time
    and in batches.

    On a machine with varying speed, more parts make the comparison fairer.
    """
    for chosen in device or list(DeviceChoice):
        modes = _worker_modes(chosen, launch, each)
        results: dict[str, list[CatalogResult]] = {mode.name: [] for mode in modes}
        for part in range(parts):
            for mode in modes if part % 2 == 0 else reversed(modes):
                results[mode.name].append(_measured(mode, tracks // parts, seed=part + 1))
        runs = [together(each_part) for each_part in results.values()]
        print(f"\n{speed_table(runs)}\n\n{stage_table(runs)}\n\n{ratios(*runs)}", flush=True)


def _worker_modes(device: DeviceChoice, launch: float, each: float) -> list[WorkerMode]:
    options = EngineOptions()
    if device is DeviceChoice.SYNTHETIC:
        cost = SyntheticCost(launch_seconds=launch, seconds_per_audio_second=each)
        options = EngineOptions(synthetic=cost)
    name = SYNTHETIC if device is DeviceChoice.SYNTHETIC else "cpu"
    return [
        WorkerMode(f"{name}, one by one", name, options, one_by_one=True),
        WorkerMode(f"{name}, batches", name, options, one_by_one=False),
    ]


def _measured(mode: WorkerMode, tracks: int, *, seed: int) -> CatalogResult:
    result = measure(mode, tracks, seed=seed)
    print(f"{mode.name}: {result.seconds:.1f} s", flush=True)
    return result
