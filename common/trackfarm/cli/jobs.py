"""Commands about jobs: list, show, watch, pause, resume, cancel, retry and remove."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from trackfarm.cli.console import ExitCode, code_of, err, out, print_json, say
from trackfarm.cli.session import JobArgument, JsonOption, connected, wanted_job
from trackfarm.job_text import attention, state_words
from trackfarm.text import clean, counted

if TYPE_CHECKING:
    from trackfarm.client import Client
    from trackfarm.protocol.operator import JobInfo

WATCH_TIMEOUT = 10.0
REASONS_SHOWN = 10


def jobs(
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many to list.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """List the jobs, newest first."""
    from trackfarm.cli.tables import jobs_table

    with connected() as farm:
        newest = farm.jobs(limit=limit)
    if as_json:
        print_json(newest)
    elif newest:
        out().print(jobs_table(newest))
    else:
        say("no jobs yet; submit one with `trackfarm submit CATALOG`")


def show(job: JobArgument = None, as_json: JsonOption = False) -> None:
    """Show all details of one job."""
    from trackfarm.cli.tables import job_card

    with connected() as farm:
        record = wanted_job(farm, job)
    if as_json:
        print_json(record)
    else:
        out().print(job_card(record))


def watch(job: JobArgument = None, as_json: JsonOption = False) -> None:
    """Follow a job until it ends. With --json: one object per line, whenever it changes."""
    with connected() as farm:
        job_id = wanted_job(farm, job).id
    raise typer.Exit(watch_to_the_end(job_id, as_json=as_json))


def pause(job: JobArgument = None, as_json: JsonOption = False) -> None:
    """Pause a job: running tracks stop at their next step, finished tracks are kept."""
    _change(job, lambda farm, job_id: farm.pause(job_id), as_json=as_json)


def resume(
    job: JobArgument = None,
    budget: Annotated[
        float | None, typer.Option(min=0.01, metavar="DOLLARS", help="Replaces the job's budget.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Resume a job that was paused or is out of budget."""
    _change(job, lambda farm, job_id: farm.resume(job_id, budget=budget), as_json=as_json)


def cancel(job: JobArgument = None, as_json: JsonOption = False) -> None:
    """Cancel a job; finished tracks are kept."""
    _change(job, lambda farm, job_id: farm.cancel(job_id), as_json=as_json)


def retry(job: JobArgument = None, as_json: JsonOption = False) -> None:
    """Make the failed and cancelled tracks of a job again."""
    _change(job, lambda farm, job_id: farm.retry(job_id), as_json=as_json)


def remove(
    job: Annotated[
        str, typer.Argument(metavar="JOB", help="JobInfo id or a unique beginning of it.")
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete an ended job and its files permanently; files shared with other jobs are kept."""
    with connected() as farm:
        record = farm.job(job)
        if not yes:
            done = counted(record.tracks.done, "finished track")
            question = f"Delete {record.id} ({clean(record.catalog)}) with {done}?"
            typer.confirm(question, abort=True, err=True)
        removed = farm.remove(record.id)
    if as_json:
        print_json(removed)
    else:
        say(f"{removed.id} ({clean(removed.catalog)}) is being deleted")


def watch_to_the_end(job_id: str, *, as_json: bool) -> ExitCode:
    """Follow the job, print its outcome and return the command's exit code."""
    try:
        with connected(patience=0, timeout=WATCH_TIMEOUT) as farm:
            job = watched(farm, job_id, as_json=as_json)
            if job is not None and not as_json:
                print_ending(farm, job, f"`trackfarm export {job.id} DIR` downloads them")
    except KeyboardInterrupt:
        again = f"`trackfarm watch {job_id}` follows it again"
        err().print(f"stopped watching; the job is still running; {again}", soft_wrap=True)
        return ExitCode.INTERRUPTED
    return code_of(job) if job is not None else ExitCode.INCOMPLETE


def watched(
    farm: "Client",
    job_id: str,
    *,
    as_json: bool,
    stopped: Callable[[float], object] = time.sleep,
    note: "Callable[[JobInfo], str]" = attention,
) -> "JobInfo | None":
    """Show the job until it ends, with the text of `note`; return its last state.

    None when it was never reached.
    """
    from trackfarm.cli.watch import view_for
    from trackfarm.sdk.events import follow

    return view_for(as_json=as_json, note=note)(
        farm.driver.go_through(follow(job_id, stopped=stopped))
    )


def print_ending(farm: "Client", job: "JobInfo", files: str) -> None:
    from trackfarm.cli.tables import ending_card

    out().print(ending_card(job, failure_reasons(farm, job), files))


def failure_reasons(farm: "Client", job: "JobInfo") -> dict[str, int]:
    """Return the number of failed tracks by reason, most frequent first."""
    from collections import Counter

    from trackfarm.protocol.operator import TrackState

    if not job.tracks.failed:
        return {}
    tracks = farm.tracks(job.id, state=TrackState.FAILED)
    reasons = Counter(clean(track.error) or "no reason given" for track in tracks)
    return dict(reasons.most_common(REASONS_SHOWN))


def _change(
    job_id: str | None, change: "Callable[[Client, str], JobInfo]", *, as_json: bool
) -> None:
    with connected() as farm:
        changed = change(farm, job_id or wanted_job(farm, None).id)
    if as_json:
        print_json(changed)
    else:
        say(f"{changed.id} ({clean(changed.catalog)}) is {state_words(changed)}")
