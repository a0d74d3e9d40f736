"""Three displays for a followed job: a live progress bar, plain lines, JSON lines.

`logs`: the events of a job, one per line.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated, Protocol

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from trackfarm.cli.console import ExitCode, complain, out, print_json, say
from trackfarm.cli.session import JsonOption, connected, wanted_job
from trackfarm.job_text import attention, progress_words
from trackfarm.protocol.operator import JobInfo
from trackfarm.sdk.events import Outage, Sighting
from trackfarm.text import clean, one_line, time_words

if TYPE_CHECKING:
    from trackfarm.client import Client
    from trackfarm.protocol.operator import EventInfo


LINE_EVERY = 5.0
Note = Callable[[JobInfo], str]
"""Text appended to the progress of a job that needs attention; empty otherwise."""


class ProgressView(Protocol):
    def __call__(self, sightings: Iterable[Sighting]) -> JobInfo | None:
        """Show each sighting; return the last state of the job, None if it was never reached."""


def view_for(*, as_json: bool, note: Note = attention) -> ProgressView:
    if as_json:
        return show_json
    return partial(show_live if out().is_terminal else show_lines, note=note)


def show_json(sightings: Iterable[Sighting]) -> JobInfo | None:
    """Print one object per line, whenever the job has changed."""
    last: JobInfo | None = None
    for sighting in sightings:
        if isinstance(sighting, Outage):
            print_json({"unreachable_seconds": round(sighting.seconds, 1)})
        elif sighting != last:
            print_json(sighting)
            last = sighting
    return last


def show_lines(
    sightings: Iterable[Sighting],
    clock: Callable[[], float] = time.monotonic,
    note: Note = attention,
) -> JobInfo | None:
    """Print a line every few seconds, and at once when the state or the notice changes."""
    last: JobInfo | None = None
    shown: tuple[str, str] | None = None
    due = clock()
    for sighting in sightings:
        topic = _topic(sighting, note)
        if topic != shown or clock() >= due:
            say(_line(sighting, note))
            shown, due = topic, clock() + LINE_EVERY
        last = last if isinstance(sighting, Outage) else sighting
    return last


def show_live(sightings: Iterable[Sighting], note: Note = attention) -> JobInfo | None:
    """Show a progress bar that stays in place."""
    last: JobInfo | None = None
    with Live(console=out(), auto_refresh=False, transient=True) as live:
        for sighting in sightings:
            last = last if isinstance(sighting, Outage) else sighting
            live.update(_picture(sighting, last, note), refresh=True)
    return last


def _topic(sighting: Sighting, note: Note) -> tuple[str, str]:
    if isinstance(sighting, Outage):
        return ("outage", "")
    return (sighting.state.value, note(sighting))


def _line(sighting: Sighting, note: Note) -> str:
    if isinstance(sighting, Outage):
        return _outage_words(sighting)
    return "; ".join(filter(None, [progress_words(sighting), note(sighting)]))


def _outage_words(outage: Outage) -> str:
    return f"the farm does not answer ({time_words(outage.seconds)}); retrying"


def _picture(sighting: Sighting, job: JobInfo | None, note: Note) -> RenderableType:
    rows: list[RenderableType] = []
    if job is not None:
        rows += [_bar(job), Text(progress_words(job))]
        if notice := note(job):
            rows.append(Text(notice, style="yellow"))
    if isinstance(sighting, Outage):
        rows.append(Text(_outage_words(sighting), style="yellow"))
    return Group(*rows)


def _bar(job: JobInfo) -> RenderableType:
    row = Table.grid(padding=(0, 1), expand=True)
    row.add_column(no_wrap=True)
    row.add_column(ratio=1)
    row.add_column(justify="right")
    share = job.tracks.done / job.tracks.total if job.tracks.total else 0.0
    bar = ProgressBar(total=max(1, job.tracks.total), completed=job.tracks.done)
    row.add_row(clean(job.catalog), bar, f"{share:4.0%}")
    return row


LOOK_EVERY = 1.0
GIVE_UP_AFTER = 120.0  # a scheduler that restarts is back within seconds
DATA_WIDTH = 200


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
        with connected(patience=GIVE_UP_AFTER if follow else 3.0) as farm:
            job_id = wanted_job(farm, job).id
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
        wait(LOOK_EVERY)


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
