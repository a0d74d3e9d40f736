"""`watch`: follow a job on a live progress bar, in plain lines or in JSON lines."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Protocol

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from trackfarm.cli.console import ExitCode, err, out, print_json, say
from trackfarm.cli.session import JobArgument, JsonOption, farm_connection, job_or_newest
from trackfarm.cli.tables import ending_card
from trackfarm.job_text import attention, progress_words
from trackfarm.protocol.operator import JobInfo, JobState, TrackState
from trackfarm.sdk.events import JobUpdate, Outage, follow
from trackfarm.text import clean, time_words

if TYPE_CHECKING:
    from trackfarm.client import Client

WATCH_TIMEOUT = 10.0  # seconds
REASONS_SHOWN = 10
LINE_EVERY = 5.0  # seconds
Note = Callable[[JobInfo], str]
"""Text appended to the progress of a job that needs attention; empty otherwise."""


def watch(job: JobArgument = None, as_json: JsonOption = False) -> None:
    """Follow a job until it ends. With --json: one object per line, whenever it changes."""
    with farm_connection() as farm:
        job_id = job_or_newest(farm, job).id
    raise typer.Exit(watch_job(job_id, as_json=as_json))


def watch_job(job_id: str, *, as_json: bool) -> ExitCode:
    """Follow the job, print its outcome and return the command's exit code."""
    try:
        with farm_connection(retry_seconds=0, timeout=WATCH_TIMEOUT) as farm:
            job = show_until_end(farm, job_id, as_json=as_json)
            if job is not None and not as_json:
                print_ending(farm, job, f"`trackfarm export {job.id} DIR` downloads them")
    except KeyboardInterrupt:
        again = f"`trackfarm watch {job_id}` follows it again"
        err().print(f"stopped watching; the job is still running; {again}", soft_wrap=True)
        return ExitCode.INTERRUPTED
    return exit_code_of(job) if job is not None else ExitCode.INCOMPLETE


def show_until_end(
    farm: "Client",
    job_id: str,
    *,
    as_json: bool,
    wait: Callable[[float], object] = time.sleep,
    note: Note = attention,
) -> JobInfo | None:
    """Show the job until it ends, with the text of `note`; return its last state.

    None when it was never reached. `wait(seconds)` returns true to stop.
    """
    return view_for(as_json=as_json, note=note)(farm.driver.iterate(follow(job_id, wait=wait)))


def exit_code_of(job: JobInfo) -> ExitCode:
    """Return the exit code for a job that ended: OK only if done without failed tracks."""
    is_complete = job.state is JobState.DONE and job.tracks.failed == 0
    return ExitCode.OK if is_complete else ExitCode.INCOMPLETE


def print_ending(farm: "Client", job: JobInfo, files: str) -> None:
    out().print(ending_card(job, failure_reasons(farm, job), files))


def failure_reasons(farm: "Client", job: JobInfo) -> dict[str, int]:
    """Return the number of failed tracks by reason, most frequent first."""
    if not job.tracks.failed:
        return {}
    tracks = farm.tracks(job.id, state=TrackState.FAILED)
    reasons = Counter(clean(track.error) or "no reason given" for track in tracks)
    return dict(reasons.most_common(REASONS_SHOWN))


class ProgressView(Protocol):
    def __call__(self, updates: Iterable[JobUpdate]) -> JobInfo | None:
        """Show each update; return the last state of the job, None if it was never reached."""


def view_for(*, as_json: bool, note: Note = attention) -> ProgressView:
    if as_json:
        return show_json
    return partial(show_live if out().is_terminal else show_lines, note=note)


def show_json(updates: Iterable[JobUpdate]) -> JobInfo | None:
    """Print one object per line, whenever the job has changed."""
    last: JobInfo | None = None
    for update in updates:
        if isinstance(update, Outage):
            print_json({"unreachable_seconds": round(update.seconds, 1)})
        elif update != last:
            print_json(update)
            last = update
    return last


def show_lines(
    updates: Iterable[JobUpdate],
    clock: Callable[[], float] = time.monotonic,
    note: Note = attention,
) -> JobInfo | None:
    """Print a line every few seconds, and at once when the state or the notice changes."""
    last: JobInfo | None = None
    last_topic: tuple[str, str] | None = None
    due = clock()
    for update in updates:
        topic = _topic(update, note)
        if topic != last_topic or clock() >= due:
            say(_line(update, note))
            last_topic, due = topic, clock() + LINE_EVERY
        last = last if isinstance(update, Outage) else update
    return last


def show_live(updates: Iterable[JobUpdate], note: Note = attention) -> JobInfo | None:
    """Show a progress bar that stays in place."""
    last: JobInfo | None = None
    with Live(console=out(), auto_refresh=False, transient=True) as live:
        for update in updates:
            last = last if isinstance(update, Outage) else update
            live.update(_picture(update, last, note), refresh=True)
    return last


def _topic(update: JobUpdate, note: Note) -> tuple[str, str]:
    if isinstance(update, Outage):
        return ("outage", "")
    return (update.state.value, note(update))


def _line(update: JobUpdate, note: Note) -> str:
    if isinstance(update, Outage):
        return _outage_words(update)
    return "; ".join(filter(None, [progress_words(update), note(update)]))


def _outage_words(outage: Outage) -> str:
    return f"the farm does not answer ({time_words(outage.seconds)}); retrying"


def _picture(update: JobUpdate, job: JobInfo | None, note: Note) -> RenderableType:
    rows: list[RenderableType] = []
    if job is not None:
        rows += [_bar(job), Text(progress_words(job))]
        if notice := note(job):
            rows.append(Text(notice, style="yellow"))
    if isinstance(update, Outage):
        rows.append(Text(_outage_words(update), style="yellow"))
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
