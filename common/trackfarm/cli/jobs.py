"""Commands about jobs: list, show, pause, resume, cancel, retry and remove."""

from typing import TYPE_CHECKING, Annotated

import typer

from trackfarm.cli.console import out, print_json, say
from trackfarm.cli.session import JobArgument, JsonOption, farm_connection, job_or_newest
from trackfarm.text import clean, counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from trackfarm.client import Client
    from trackfarm.protocol.operator import JobInfo


def jobs(
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many to list.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """List the jobs, newest first."""
    from trackfarm.cli.tables import jobs_table

    with farm_connection() as farm:
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

    with farm_connection() as farm:
        record = job_or_newest(farm, job)
    if as_json:
        print_json(record)
    else:
        out().print(job_card(record))


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
    job: Annotated[str, typer.Argument(metavar="JOB", help="Job id or a unique beginning of it.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete an ended job and its files permanently; files shared with other jobs are kept."""
    with farm_connection() as farm:
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


def _change(
    job_id: str | None, change: "Callable[[Client, str], JobInfo]", *, as_json: bool
) -> None:
    from trackfarm.job_text import state_words

    with farm_connection() as farm:
        changed = change(farm, job_id or job_or_newest(farm, None).id)
    if as_json:
        print_json(changed)
    else:
        say(f"{changed.id} ({clean(changed.catalog)}) is {state_words(changed)}")
