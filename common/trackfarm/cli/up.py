"""`up`: a whole farm on this machine while the command runs, or until one catalog is made."""

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from trackfarm.cli.catalog_run import CatalogRun
from trackfarm.cli.console import ExitCode, err, print_json, say
from trackfarm.cli.session import JsonOption, command_error
from trackfarm.model_sets import DEFAULT_MODEL_SET
from trackfarm.settings import DEFAULT_PORT, home_path
from trackfarm.text import counted, time_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from trackfarm.embedded.farm import FarmPlan, RunningFarm
    from trackfarm.embedded.signals import SignalFlags

TICK_SECONDS = 0.1


def up(
    workers: Annotated[int, typer.Option(min=0, max=64, help="Number of CPU workers.")] = 2,
    home: Annotated[
        Path | None,
        typer.Option(help="Home directory; default: TRACKFARM_HOME, else ~/.trackfarm."),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port of the scheduler; 0 for any free one.")
    ] = DEFAULT_PORT,
    model_set: Annotated[str, typer.Option(help="Model set of the workers.")] = DEFAULT_MODEL_SET,
    submit: Annotated[
        Path | None,
        typer.Option(
            metavar="CATALOG",
            exists=True,
            dir_okay=False,
            help="Make this catalog, then stop the farm; needs --export.",
        ),
    ] = None,
    export: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Directory for the tracks of --submit.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run a farm on this machine until Ctrl-C: broker, scheduler and workers.

    A database, broker or object store set in TRACKFARM_SCHEDULER_DATABASE_URL, _BROKER_URL or
    _OBJECTS_URL is used instead of a local one.
    """
    from trackfarm.embedded.farm import FarmPlan
    from trackfarm.embedded.home import Home

    if (submit is None) != (export is None):
        raise command_error(
            ExitCode.BAD_INPUT, "--submit and --export need each other; give both or neither"
        )
    run = None
    if submit is not None and export is not None:
        run = CatalogRun.prepare(submit, export, model_set=model_set, as_json=as_json)
    plan = FarmPlan(
        home=Home(home_path(os.environ, home)),
        port=port,
        workers=workers,
        model_set=model_set,
        environ=os.environ,
    )
    raise typer.Exit(_run_farm(plan, run, as_json=as_json))


def _run_farm(plan: "FarmPlan", run: CatalogRun | None, *, as_json: bool) -> ExitCode:
    from trackfarm.client import FarmError
    from trackfarm.embedded.broker import NoBroker
    from trackfarm.embedded.farm import PortTaken, embedded_farm
    from trackfarm.embedded.home import HomeInUse
    from trackfarm.embedded.signals import SignalFlags
    from trackfarm.embedded.supervisor import Interrupted, StartFailed
    from trackfarm.settings import ClientSettingsError

    tell = _teller(as_json=as_json)
    started = time.monotonic()
    with SignalFlags() as signals:
        try:
            tell(f"starting a farm in {plan.home.root} (logs in {plan.home.logs})")
            with embedded_farm(plan, signals=signals, tell=tell) as farm:
                tell(f"up in {time_words(time.monotonic() - started)}")
                code = _serve(farm, plan, run, signals, as_json=as_json)
                tell("stopping the farm; press Ctrl-C again to kill it at once")
            return code
        except Interrupted:
            return ExitCode.INTERRUPTED
        except HomeInUse as error:
            _fail(ExitCode.REFUSED, error)
        except (PortTaken, NoBroker, ClientSettingsError) as error:
            _fail(ExitCode.BAD_INPUT, error)
        except (StartFailed, FarmError, OSError) as error:
            _fail(ExitCode.INCOMPLETE, error)


def _serve(
    farm: "RunningFarm",
    plan: "FarmPlan",
    run: CatalogRun | None,
    signals: "SignalFlags",
    *,
    as_json: bool,
) -> ExitCode:
    """Keep the farm running until the run is done or the operator interrupts it."""
    if run is not None:
        run.start(farm.address)
    else:
        _introduce(farm, plan, as_json=as_json)
    while not signals.requested and not (run is not None and run.done):
        farm.supervisor.tick()
        time.sleep(TICK_SECONDS)
    if run is None:
        return ExitCode.OK
    return run.finish()


def _introduce(farm: "RunningFarm", plan: "FarmPlan", *, as_json: bool) -> None:
    address = farm.address
    if as_json:
        print_json(
            {
                "url": address.url,
                "home": str(farm.home.root),
                "pid": address.pid,
                "workers": plan.workers,
                "model_set": plan.model_set,
                "parts": farm.supervisor.pids,
            }
        )
        return
    is_elsewhere = farm.home.root != home_path(os.environ)
    prefix = f"TRACKFARM_HOME={farm.home.root} " if is_elsewhere else ""
    say(f"farm      {address.url} with {counted(plan.workers, 'worker')} for {plan.model_set}")
    say(f"home      {farm.home.root}")
    say(f"submit    {prefix}trackfarm submit CATALOG --watch")
    say("stop      Ctrl-C")
    if sys.platform != "linux":
        say(
            "on this system, `kill -9` of this command leaves its child processes running",
            style="yellow",
        )


def _teller(*, as_json: bool) -> "Callable[[str], None]":
    """Return a printer for lines about the farm itself; on stderr when stdout is for JSON."""
    if as_json:
        return lambda text: err().print(text, soft_wrap=True)
    return say


def _fail(code: ExitCode, error: Exception) -> NoReturn:
    raise command_error(code, str(error)) from None
