"""Commands about jobs: list, show, watch, and the four that change one."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from trackfarm.cli.console import err, out, print_json, say
from trackfarm.cli.exits import ExitCode, code_of
from trackfarm.cli.options import JobArgument, JsonOption
from trackfarm.cli.session import connected, wanted_job
from trackfarm.printable import clean
from trackfarm.words import attention, counted, state_words

if TYPE_CHECKING:
    from trackfarm.api import Job
    from trackfarm.client import Client

WATCH_TIMEOUT = 10.0
REASONS_SHOWN = 10


def jobs(
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """List the jobs, newest first."""
    from trackfarm.cli.tables import jobs_table

    with connected() as farm:
        found = farm.jobs(limit=limit)
    if as_json:
        print_json(found)
    elif found:
        out().print(jobs_table(found))
    else:
        say("no jobs yet; make one with `trackfarm submit CATALOG`")


def show(job: JobArgument = None, as_json: JsonOption = False) -> None:
    """Show everything about one job."""
    from trackfarm.cli.tables import job_card

    with connected() as farm:
        found = wanted_job(farm, job)
    if as_json:
        print_json(found)
    else:
        out().print(job_card(found))


def watch(job: JobArgument = None, as_json: JsonOption = False) -> None:
    """Follow a job until it ends. With --json: one object a line, whenever something changed."""
    with connected() as farm:
        found = wanted_job(farm, job)
    raise typer.Exit(watch_to_the_end(found.id, as_json=as_json))


def pause(job: JobArgument = None, as_json: JsonOption = False) -> None:
    """Stop a job: what is being made stops at its next step, what is finished stays."""
    _change(job, lambda farm, job_id: farm.pause(job_id), as_json=as_json)


def resume(
    job: JobArgument = None,
    budget: Annotated[
        float | None, typer.Option(min=0.01, metavar="DOLLARS", help="Replaces the job's budget.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Let a job go on that was paused, or that is out of budget."""
    _change(job, lambda farm, job_id: farm.resume(job_id, budget=budget), as_json=as_json)


def cancel(job: JobArgument = None, as_json: JsonOption = False) -> None:
    """End a job; tracks that are done stay."""
    _change(job, lambda farm, job_id: farm.cancel(job_id), as_json=as_json)


def retry(job: JobArgument = None, as_json: JsonOption = False) -> None:
    """Make the failed and cancelled tracks of a job again."""
    _change(job, lambda farm, job_id: farm.retry(job_id), as_json=as_json)


def remove(
    job: Annotated[str, typer.Argument(metavar="JOB", help="Job id or a unique beginning of it.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove an ended job and its files for good; what other jobs share stays."""
    with connected() as farm:
        found = farm.job(job)
        if not yes:
            done = counted(found.tracks.done, "finished track")
            question = f"Remove {found.id} ({clean(found.catalog)}) with {done}?"
            typer.confirm(question, abort=True, err=True)
        removed = farm.remove(found.id)
    if as_json:
        print_json(removed)
    else:
        say(f"{removed.id} ({clean(removed.catalog)}) is being removed")


def watch_to_the_end(job_id: str, *, as_json: bool) -> ExitCode:
    """Follows the job, prints what became of it, and gives the command's exit code."""
    try:
        with connected(patience=0, timeout=WATCH_TIMEOUT) as farm:
            job = watched(farm, job_id, as_json=as_json)
            if job is not None and not as_json:
                print_ending(farm, job, f"`trackfarm export {job.id} DIR` brings them here")
    except KeyboardInterrupt:
        err().print(f"the job goes on; `trackfarm watch {job_id}` shows it again", soft_wrap=True)
        return ExitCode.INTERRUPTED
    return code_of(job) if job is not None else ExitCode.INCOMPLETE


def watched(
    farm: "Client",
    job_id: str,
    *,
    as_json: bool,
    stopped: Callable[[float], object] = time.sleep,
    note: "Callable[[Job], str]" = attention,
) -> "Job | None":
    """Shows the job until it ends, with what `note` says of it; gives its last state."""
    from trackfarm.cli.views import view_for
    from trackfarm.sdk.following import follow

    return view_for(as_json=as_json, note=note)(
        farm.driver.go_through(follow(job_id, stopped=stopped))
    )


def print_ending(farm: "Client", job: "Job", files: str) -> None:
    from trackfarm.cli.tables import ending_card

    out().print(ending_card(job, failure_reasons(farm, job), files))


def failure_reasons(farm: "Client", job: "Job") -> dict[str, int]:
    """How many tracks failed for each reason, most frequent first."""
    from collections import Counter

    from trackfarm.api import TrackState

    if not job.tracks.failed:
        return {}
    failed = farm.tracks(job.id, state=TrackState.FAILED)
    reasons = Counter(clean(track.error) or "no reason was given" for track in failed)
    return dict(reasons.most_common(REASONS_SHOWN))


def _change(job_id: str | None, change: "Callable[[Client, str], Job]", *, as_json: bool) -> None:
    with connected() as farm:
        changed = change(farm, job_id or wanted_job(farm, None).id)
    if as_json:
        print_json(changed)
    else:
        say(f"{changed.id} ({clean(changed.catalog)}) is {state_words(changed)}")
