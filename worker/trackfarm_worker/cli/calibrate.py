"""`trackfarm-worker calibrate`: measure the speed of this machine with its model set."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from trackfarm.cli.console import ExitCode, complain, err, out, print_json, say
from trackfarm.cli.session import JsonOption
from trackfarm.model_sets import ModelSet, UnknownModelSet, model_set
from trackfarm.settings_errors import SETTINGS_ERRORS
from trackfarm_worker import gpu
from trackfarm_worker.calibration import (
    Calibration,
    CalibrationPoint,
    CalibrationRun,
    measure,
    plan_runs,
    save,
)
from trackfarm_worker.engine.parent.client import EngineClient
from trackfarm_worker.gpu import GpuInfo
from trackfarm_worker.settings import MachineSettings, settings_error

app = typer.Typer(
    name="trackfarm-worker",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)


@app.callback()
def worker() -> None:
    """Join the farm at TRACKFARM_WORKER_SCHEDULER_URL and make tracks, if no command is given."""


@app.command()
def calibrate(
    duration: Annotated[
        list[float] | None,
        typer.Option(help="Seconds of audio; can be repeated. Default: the standard lengths."),
    ] = None,
    max_tracks: Annotated[
        int, typer.Option(min=0, help="Largest batch to try, in tracks; 0: chosen by the length.")
    ] = 0,
    as_json: JsonOption = False,
) -> None:
    """Measure speeds and the largest batches, and store them for the next start of the worker.

    Reads the same TRACKFARM_WORKER_* variables as the worker (MODEL_SET, MODEL_PATH, DEVICE,
    DATA_DIR, ...). Stop the worker first: it shares the GPU.
    """
    try:
        settings = MachineSettings()
        chosen = model_set(settings.model_set)
        hardware = gpu.detect(settings.device, name=settings.gpu, memory_mib=settings.memory_mib)
        plan = plan_runs(
            chosen, is_gpu=settings.is_gpu, durations=duration or (), max_tracks=max_tracks
        )
        calibration = _calibrate(settings, chosen, hardware, plan, is_quiet=as_json)
    except SETTINGS_ERRORS as error:
        complain(settings_error(error))
        raise typer.Exit(ExitCode.BAD_INPUT) from None
    except (UnknownModelSet, RuntimeError) as error:
        complain(str(error))
        raise typer.Exit(ExitCode.INCOMPLETE) from None
    path = save(calibration, settings.data_dir)
    if as_json:
        print_json(calibration.model_dump(mode="json") | {"facts": calibration.facts(chosen)})
    else:
        out().print(_table(calibration))
        for failure in calibration.failures:
            say(failure)
        say(f"written to {path}; the worker reports it when it registers")
    if not calibration.points:
        raise typer.Exit(ExitCode.INCOMPLETE)


def _calibrate(
    settings: MachineSettings,
    chosen: ModelSet,
    hardware: GpuInfo,
    plan: list[CalibrationRun],
    *,
    is_quiet: bool,
) -> Calibration:
    def show_run(run: CalibrationRun, point: CalibrationPoint | str) -> None:
        if not is_quiet:
            outcome = point if isinstance(point, str) else f"{point.service:.3f} s per track"
            err().print(f"{run.tracks} x {run.duration:g} s: {outcome}")

    with (
        tempfile.TemporaryDirectory(prefix="trackfarm-calibrate-") as folder,
        EngineClient(settings.engine(Path(folder) / "spool")) as engine,
    ):
        ready = engine.start()
        points = measure(engine, plan, show_run)
    return Calibration(
        gpu=hardware.name,
        memory_mib=hardware.memory_mib,
        driver=hardware.driver,
        model_set=chosen.identity,
        versions=ready.versions,
        points=tuple(point for point in points if isinstance(point, CalibrationPoint)),
        failures=tuple(failure for failure in points if isinstance(failure, str)),
    )


def _table(calibration: Calibration) -> Table:
    table = Table(title=f"{calibration.model_set} on {calibration.gpu}", box=None, pad_edge=False)
    titles = (
        "AUDIO",
        "STEPS",
        "TRACKS",
        "BATCH",
        "CONDITION",
        "DENOISE",
        "DECODE",
        "EACH",
        "TRACKS/H",
    )
    for title in titles:
        table.add_column(title, justify="right")
    for point in calibration.points:
        table.add_row(
            f"{point.duration:g} s",
            str(point.steps),
            str(point.tracks),
            str(point.batch),
            *(f"{s:.3f} s" for s in (point.condition, point.denoise, point.decode, point.service)),
            f"{3600 / max(point.service, 1e-9):,.0f}",
        )
    return table
