"""`trackfarm-worker calibrate`: measures what this machine can do with its model set."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from trackfarm.cli.console import complain, err, out, print_json, say
from trackfarm.cli.exits import ExitCode
from trackfarm.cli.options import JsonOption
from trackfarm.environment import UNUSABLE
from trackfarm.model_sets import ModelSet, UnknownModelSet, model_set
from trackfarm_worker import machine
from trackfarm_worker.calibration.measuring import measure
from trackfarm_worker.calibration.plan import Trial, trials
from trackfarm_worker.calibration.record import Calibration, Point, save
from trackfarm_worker.engine.process import EngineProcess
from trackfarm_worker.machine import Machine
from trackfarm_worker.settings import MachineSettings, complaint

app = typer.Typer(
    name="trackfarm-worker",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)


@app.callback()
def worker() -> None:
    """Without a command: joins the farm that TRACKFARM_WORKER_SCHEDULER_URL names, and works."""


@app.command()
def calibrate(
    duration: Annotated[
        list[float] | None, typer.Option(help="Seconds of audio; repeat. Default: the usual ones.")
    ] = None,
    most: Annotated[
        int, typer.Option(min=0, help="Most tracks together; 0: as many as can be of use.")
    ] = 0,
    as_json: JsonOption = False,
) -> None:
    """Measure speeds and the largest batches, and keep them for the next start of the worker.

    Reads the TRACKFARM_WORKER_* variables that the worker reads (MODEL_SET, MODEL_PATH, DEVICE,
    DATA_DIR, ...). Stop the worker first: it shares the GPU.
    """
    try:
        settings = MachineSettings()
        chosen = model_set(settings.model_set)
        found = machine.look(settings.device, gpu=settings.gpu, memory_mib=settings.memory_mib)
        plan = trials(chosen, is_gpu=settings.is_gpu, durations=duration or (), most=most)
        made = _calibrated(settings, chosen, found, plan, is_quiet=as_json)
    except UNUSABLE as error:
        complain(complaint(error))
        raise typer.Exit(ExitCode.BAD_INPUT) from None
    except (UnknownModelSet, RuntimeError) as error:
        complain(str(error))
        raise typer.Exit(ExitCode.INCOMPLETE) from None
    path = save(made, settings.data_dir)
    if as_json:
        print_json(made.model_dump(mode="json") | {"facts": made.facts(chosen)})
    else:
        out().print(_table(made))
        for failure in made.failures:
            say(failure)
        say(f"written to {path}; the worker tells it when it joins")
    if not made.points:
        raise typer.Exit(ExitCode.INCOMPLETE)


def _calibrated(
    settings: MachineSettings,
    chosen: ModelSet,
    found: Machine,
    plan: list[Trial],
    *,
    is_quiet: bool,
) -> Calibration:
    def told(trial: Trial, point: Point | str) -> None:
        if not is_quiet:
            what = point if isinstance(point, str) else f"{point.service:.3f} s per track"
            err().print(f"{trial.tracks} x {trial.duration:g} s: {what}")

    with (
        tempfile.TemporaryDirectory(prefix="trackfarm-calibrate-") as folder,
        EngineProcess(settings.engine(Path(folder) / "spool")) as engine,
    ):
        ready = engine.start()
        measured = measure(engine, plan, told)
    return Calibration(
        gpu=found.gpu,
        memory_mib=found.memory_mib,
        driver=found.driver,
        model_set=chosen.identity,
        versions=ready.versions,
        points=tuple(point for point in measured if isinstance(point, Point)),
        failures=tuple(why for why in measured if isinstance(why, str)),
    )


def _table(made: Calibration) -> Table:
    table = Table(title=f"{made.model_set} on {made.gpu}", box=None, pad_edge=False)
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
    for point in made.points:
        table.add_row(
            f"{point.duration:g} s",
            str(point.steps),
            str(point.tracks),
            str(point.batch),
            *(f"{s:.3f} s" for s in (point.condition, point.denoise, point.decode, point.service)),
            f"{3600 / max(point.service, 1e-9):,.0f}",
        )
    return table
