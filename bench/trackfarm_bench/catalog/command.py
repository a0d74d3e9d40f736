"""`python -m trackfarm_bench catalog`: the speedup by batches on a complete farm."""

from enum import StrEnum
from typing import Annotated

import typer

from trackfarm_bench.catalog.report import ratios, speed_table, stage_table
from trackfarm_bench.catalog.run import CatalogSeconds, Way, measure, together
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
        ways = _ways(chosen, launch, each)
        took: dict[str, list[CatalogSeconds]] = {way.name: [] for way in ways}
        for part in range(parts):
            for way in ways if part % 2 == 0 else reversed(ways):
                took[way.name].append(_measured(way, tracks // parts, seed=part + 1))
        runs = [together(each_part) for each_part in took.values()]
        print(f"\n{speed_table(runs)}\n\n{stage_table(runs)}\n\n{ratios(*runs)}", flush=True)


def _ways(device: DeviceChoice, launch: float, each: float) -> list[Way]:
    options = EngineOptions()
    if device is DeviceChoice.SYNTHETIC:
        cost = SyntheticCost(launch_seconds=launch, seconds_per_audio_second=each)
        options = EngineOptions(synthetic=cost)
    name = SYNTHETIC if device is DeviceChoice.SYNTHETIC else "cpu"
    return [
        Way(f"{name}, one by one", name, options, one_by_one=True),
        Way(f"{name}, batches", name, options, one_by_one=False),
    ]


def _measured(way: Way, tracks: int, *, seed: int) -> CatalogSeconds:
    took = measure(way, tracks, seed=seed)
    print(f"{way.name}: {took.seconds:.1f} s", flush=True)
    return took
