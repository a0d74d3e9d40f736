"""Three displays for a followed job: a live progress bar, plain lines, JSON lines."""

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from trackfarm.api import Job
from trackfarm.cli.console import out, print_json, say
from trackfarm.printable import clean
from trackfarm.sdk.following import Outage, Sighting
from trackfarm.words import attention, progress_words, time_words

LINE_EVERY = 5.0
Note = Callable[[Job], str]
"""Text appended to the progress of a job that needs attention; empty otherwise."""


class View(Protocol):
    def __call__(self, sightings: Iterable[Sighting]) -> Job | None:
        """Show each sighting; return the last state of the job, None if it was never reached."""


def view_for(*, as_json: bool, note: Note = attention) -> View:
    if as_json:
        return show_json
    return partial(show_live if out().is_terminal else show_lines, note=note)


def show_json(sightings: Iterable[Sighting]) -> Job | None:
    """Print one object per line, whenever the job has changed."""
    last: Job | None = None
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
) -> Job | None:
    """Print a line every few seconds, and at once when the state or the notice changes."""
    last: Job | None = None
    shown: tuple[str, str] | None = None
    due = clock()
    for sighting in sightings:
        topic = _topic(sighting, note)
        if topic != shown or clock() >= due:
            say(_line(sighting, note))
            shown, due = topic, clock() + LINE_EVERY
        last = last if isinstance(sighting, Outage) else sighting
    return last


def show_live(sightings: Iterable[Sighting], note: Note = attention) -> Job | None:
    """Show a progress bar that stays in place."""
    last: Job | None = None
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


def _picture(sighting: Sighting, job: Job | None, note: Note) -> RenderableType:
    rows: list[RenderableType] = []
    if job is not None:
        rows += [_bar(job), Text(progress_words(job))]
        if notice := note(job):
            rows.append(Text(notice, style="yellow"))
    if isinstance(sighting, Outage):
        rows.append(Text(_outage_words(sighting), style="yellow"))
    return Group(*rows)


def _bar(job: Job) -> RenderableType:
    row = Table.grid(padding=(0, 1), expand=True)
    row.add_column(no_wrap=True)
    row.add_column(ratio=1)
    row.add_column(justify="right")
    share = job.tracks.done / job.tracks.total if job.tracks.total else 0.0
    bar = ProgressBar(total=max(1, job.tracks.total), completed=job.tracks.done)
    row.add_row(clean(job.catalog), bar, f"{share:4.0%}")
    return row
