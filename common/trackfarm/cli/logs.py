"""`logs`: the events of a job, one per line."""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from trackfarm.cli.console import ExitCode, complain, print_json, say
from trackfarm.cli.session import JsonOption, farm_connection, job_or_newest
from trackfarm.text import clean, one_line

if TYPE_CHECKING:
    from trackfarm.client import Client
    from trackfarm.protocol.operator import EventInfo

POLL_SECONDS = 1.0
FOLLOW_RETRY_SECONDS = 120.0  # a scheduler that restarts is back within seconds
DATA_WIDTH = 200  # characters


def logs(
    job: Annotated[
        str | None,
        typer.Option(
            "--job", metavar="JOB", help="Job id or its beginning; default: the newest job."
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Keep printing until the job has ended.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the events of a job, oldest first, one per line."""
    show = print_json if as_json else _say
    try:
        with farm_connection(retry_seconds=FOLLOW_RETRY_SECONDS if follow else 3.0) as farm:
            job_id = job_or_newest(farm, job).id
            for event in events(farm, job_id, follow=follow):
                show(event)
    except KeyboardInterrupt:
        complain("stopped following; the job is still running")
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def events(
    farm: "Client",
    job_id: str,
    *,
    follow: bool,
    wait: Callable[[float], object] = time.sleep,
) -> "Iterator[EventInfo]":
    """Yield all events of a job so far; with `follow` also new ones, until the job has ended."""
    after = 0
    while True:
        # Read the state before the events, so that no event of an ended job is missed.
        is_last = not follow or farm.job(job_id).state.ended
        while page := farm.events(job_id=job_id, after=after):
            yield from page
            after = page[-1].id
        if is_last:
            return
        wait(POLL_SECONDS)


def line(event: "EventInfo") -> str:
    """Return an event as a line: local time, kind, track, shard and worker, data."""
    subjects = [
        f"track {event.track_id}" if event.track_id is not None else None,
        event.shard_id,
        event.worker_id,
    ]
    data = ", ".join(f"{name}={value}" for name, value in event.data.items())
    parts = [
        f"{event.at.astimezone():%Y-%m-%d %H:%M:%S}",
        f"{clean(event.kind).replace('_', ' '):<16}",
        " ".join(clean(part) for part in subjects if part),
        one_line(data, DATA_WIDTH),
    ]
    return "  ".join(part for part in parts if part).rstrip()


def _say(event: "EventInfo") -> None:
    say(line(event))
