"""`submit`: the whole catalog file is validated before anything is sent."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trackfarm.cli.check import require_valid_catalog
from trackfarm.cli.console import ExitCode, print_json, say
from trackfarm.cli.session import (
    CatalogArgument,
    JsonOption,
    WatchOption,
    command_error,
    farm_connection,
)
from trackfarm.text import clean, counted

if TYPE_CHECKING:
    from trackfarm.client import Client
    from trackfarm.protocol.operator import SubmitAnswer
    from trackfarm.sdk.submission import SubmitOptions

SUBMIT_RETRY_SECONDS = (
    10.0  # seconds; a retry may have to wait 5 s (Retry-After) for the first attempt
)


def submit(
    catalog: CatalogArgument,
    watch: WatchOption = False,
    priority: Annotated[
        int, typer.Option(min=-100, max=100, help="Higher runs first, from -100 to 100.")
    ] = 0,
    model_set: Annotated[
        str | None, typer.Option(help="Overrides the catalog's model set.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Overrides the catalog's name.")] = None,
    deadline: Annotated[
        str | None,
        typer.Option(help="When every track must be done: 6h, 90m, 1d12h, 2026-11-27T18:00."),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(metavar="DOLLARS", help="The most that the job may cost.")
    ] = None,
    interactive: Annotated[
        bool, typer.Option("--interactive", help="Run before all other jobs, track by track.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Submit a catalog to the farm. Submitting it again reuses the tracks that exist already."""
    from trackfarm.sdk.submission import SubmitOptions

    options = SubmitOptions(
        name=name,
        model_set=model_set,
        priority=priority,
        lane="interactive" if interactive else "batch",
        deadline=_moment(deadline),
        budget=_dollars(budget),
    )
    require_valid_catalog(catalog, model_set, as_json=as_json)
    with farm_connection(retry_seconds=SUBMIT_RETRY_SECONDS) as farm:
        answer = submit_file(farm, catalog, options)
    if as_json:
        print_json(answer)
    else:
        print_submission(answer)
    if watch:
        from trackfarm.cli.watch import watch_job

        raise typer.Exit(watch_job(answer.job.id, as_json=as_json))


def _moment(text: str | None) -> datetime | None:
    from trackfarm.planning import LimitError, parse_deadline

    if text is None:
        return None
    now = datetime.now().astimezone()
    try:
        return now + timedelta(seconds=parse_deadline(text, now))
    except LimitError as error:
        raise command_error(ExitCode.BAD_INPUT, clean(str(error))) from None


def _dollars(text: str | None) -> float | None:
    from trackfarm.planning import LimitError, parse_budget

    try:
        amount = None if text is None else parse_budget(text)
    except LimitError as error:
        raise command_error(ExitCode.BAD_INPUT, clean(str(error))) from None
    if amount == 0:
        remedy = "write what the job may cost, or leave --budget out for no limit"
        raise command_error(ExitCode.BAD_INPUT, f"a budget of $0 pays for no track; {remedy}")
    return amount


def submit_file(farm: "Client", path: Path, options: "SubmitOptions") -> "SubmitAnswer":
    """Stream a check_file catalog to the farm, its local sources first.

    Ends the command when a file was changed since the check.
    """
    from trackfarm.catalog import CatalogError, open_catalog
    from trackfarm.sdk import submission

    try:
        return farm.driver.run(submission.submit(open_catalog(path), options))
    except (CatalogError, OSError) as error:
        raise command_error(ExitCode.BAD_INPUT, clean(str(error))) from None


def print_submission(answer: "SubmitAnswer") -> None:
    from trackfarm.job_text import noise_warning

    job = answer.job
    if answer.already_submitted:
        say(f"{job.id} already has exactly these tracks; nothing was added")
    else:
        reused = job.tracks.total - job.new_tracks
        note = f", {reused:,} of them shared with earlier jobs" if reused else ""
        say(f"{job.id} accepted: {counted(job.tracks.total, 'track')}{note}")
    if answer.revived_tracks:
        say(f"{counted(answer.revived_tracks, 'cancelled track')} queued again")
    if warning := noise_warning(job):
        say(warning, style="yellow")
