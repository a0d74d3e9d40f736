"""`top`: an overview of the farm, live, or once for a script."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trackfarm.cli.console import ExitCode, out, print_json
from trackfarm.cli.session import JsonOption, farm_connection

if TYPE_CHECKING:
    from trackfarm.cli.top_view import Look, Throughput
    from trackfarm.client import Client

JOBS_LOOKED_AT = 20


def top(
    once: Annotated[bool, typer.Option("--once", help="Print one snapshot and exit.")] = False,
    every: Annotated[
        float, typer.Option(min=0.2, max=3600, metavar="SECONDS", help="Time between snapshots.")
    ] = 2.0,
    as_json: JsonOption = False,
) -> None:
    """Watch the farm: workers, jobs, tracks per hour, money, alerts. Ctrl-C ends it.

    With --json: one object per snapshot, one per line.
    """
    try:
        with farm_connection(patience=0 if not once else 3) as farm:
            if once:
                _show_once(farm, as_json=as_json)
            elif as_json or not out().is_terminal:
                _show_lines(farm, every, as_json=as_json)
            else:
                _show_live(farm, every)
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def look(farm: "Client", clock: Callable[[], float] = time.monotonic) -> "Look":
    from trackfarm.cli.top_view import Look

    return Look(clock(), farm.status(), farm.jobs(limit=JOBS_LOOKED_AT), farm.workers())


def _show_once(farm: "Client", *, as_json: bool) -> None:
    from trackfarm.cli.top_view import Throughput

    _print(look(farm), Throughput(), as_json=as_json)


def _show_lines(farm: "Client", every: float, *, as_json: bool) -> None:
    """Print snapshots one after the other, for a pipe, until the reader or the farm is gone."""
    from trackfarm.cli.top_view import Throughput

    throughput = Throughput()
    while True:
        _print(look(farm), throughput, as_json=as_json)
        time.sleep(every)


def _print(seen: "Look", throughput: "Throughput", *, as_json: bool) -> None:
    from trackfarm.cli.top_view import picture

    rate = throughput.add(seen)
    if as_json:
        print_json(as_record(seen, rate))
    else:
        out().print(picture(seen, throughput, width=out().width))


def _show_live(farm: "Client", every: float) -> None:
    from rich.live import Live

    from trackfarm.cli.top_view import Throughput, picture, waiting
    from trackfarm.client import FarmUnreachable

    throughput = Throughput()
    last: Look | None = None
    # The alternate screen: on exit the terminal looks as before.
    with Live(console=out(), screen=True, auto_refresh=False) as live:
        while True:
            trouble = ""
            try:
                last = look(farm)
                throughput.add(last)
            except FarmUnreachable as error:
                trouble = str(error)
            size = out().size
            shown = (
                waiting(trouble)
                if last is None
                else picture(
                    last, throughput, width=size.width, height=size.height, trouble=trouble
                )
            )
            live.update(shown, refresh=True)
            time.sleep(every)


def as_record(seen: "Look", rate: float) -> dict[str, Any]:
    """Return a snapshot as --json prints it."""
    from trackfarm.cli.top_view import alerts

    return {
        "status": seen.status,
        "tracks_per_hour": round(rate, 1),
        "dollars_per_hour": round(seen.dollars_per_hour, 4),
        "spent": round(seen.spent, 4),
        "alerts": alerts(seen),
        "jobs": list(seen.jobs),
        "workers": list(seen.workers),
    }
