"""`top`: an overview of the farm, live, or once for a script."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trackfarm.cli.console import ExitCode, out, print_json
from trackfarm.cli.session import JsonOption, farm_connection

if TYPE_CHECKING:
    from trackfarm.cli.top_view import FarmSnapshot, Throughput
    from trackfarm.client import Client

MAX_JOBS = 20


def top(
    once: Annotated[bool, typer.Option("--once", help="Print one snapshot and exit.")] = False,
    interval_seconds: Annotated[
        float,
        typer.Option(
            "--every", min=0.2, max=3600, metavar="SECONDS", help="Time between snapshots."
        ),
    ] = 2.0,
    as_json: JsonOption = False,
) -> None:
    """Watch the farm: workers, jobs, tracks per hour, money, alerts. Ctrl-C ends it.

    With --json: one object per snapshot, one per line.
    """
    try:
        with farm_connection(retry_seconds=0 if not once else 3) as farm:
            if once:
                _show_once(farm, as_json=as_json)
            elif as_json or not out().is_terminal:
                _show_lines(farm, interval_seconds, as_json=as_json)
            else:
                _show_live(farm, interval_seconds)
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def take_snapshot(farm: "Client", clock: Callable[[], float] = time.monotonic) -> "FarmSnapshot":
    from trackfarm.cli.top_view import FarmSnapshot

    return FarmSnapshot(clock(), farm.status(), farm.jobs(limit=MAX_JOBS), farm.workers())


def _show_once(farm: "Client", *, as_json: bool) -> None:
    from trackfarm.cli.top_view import Throughput

    _print(take_snapshot(farm), Throughput(), as_json=as_json)


def _show_lines(farm: "Client", interval_seconds: float, *, as_json: bool) -> None:
    """Print snapshots one after the other, for a pipe, until the reader or the farm is gone."""
    from trackfarm.cli.top_view import Throughput

    throughput = Throughput()
    while True:
        _print(take_snapshot(farm), throughput, as_json=as_json)
        time.sleep(interval_seconds)


def _print(snapshot: "FarmSnapshot", throughput: "Throughput", *, as_json: bool) -> None:
    from trackfarm.cli.top_view import picture

    rate = throughput.add(snapshot)
    if as_json:
        print_json(as_record(snapshot, rate))
    else:
        out().print(picture(snapshot, throughput, width=out().width))


def _show_live(farm: "Client", interval_seconds: float) -> None:
    from rich.live import Live

    from trackfarm.cli.top_view import Throughput, picture, waiting
    from trackfarm.client import FarmUnreachable

    throughput = Throughput()
    last: FarmSnapshot | None = None
    # The alternate screen: on exit the terminal looks as before.
    with Live(console=out(), screen=True, auto_refresh=False) as live:
        while True:
            outage = ""
            try:
                last = take_snapshot(farm)
                throughput.add(last)
            except FarmUnreachable as error:
                outage = str(error)
            size = out().size
            screen = (
                waiting(outage)
                if last is None
                else picture(last, throughput, width=size.width, height=size.height, outage=outage)
            )
            live.update(screen, refresh=True)
            time.sleep(interval_seconds)


def as_record(snapshot: "FarmSnapshot", rate: float) -> dict[str, Any]:
    """Return a snapshot as --json prints it."""
    from trackfarm.cli.top_view import alerts

    return {
        "status": snapshot.status,
        "tracks_per_hour": round(rate, 1),
        "dollars_per_hour": round(snapshot.dollars_per_hour, 4),
        "spent": round(snapshot.spent, 4),
        "alerts": alerts(snapshot),
        "jobs": list(snapshot.jobs),
        "workers": list(snapshot.workers),
    }
