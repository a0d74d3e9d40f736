"""`export`: download the finished tracks of a job into a directory."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trackfarm.cli.console import ExitCode, complain, err, print_json, say
from trackfarm.cli.session import JsonOption, command_error, farm_connection, job_or_newest
from trackfarm.job_text import noise_warning
from trackfarm.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from trackfarm.client import Client
    from trackfarm.protocol.operator import JobInfo
    from trackfarm.sdk.download import ExportReport

FAILURES_SHOWN = 20


def export(
    job_or_directory: Annotated[
        str, typer.Argument(metavar="[JOB]", help="Default: the newest job.")
    ],
    directory: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="Directory for the files.", show_default=False),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Wait for the job to end first.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Download finished tracks into DIR, with manifest.csv, a playlist and listen.html.

    Running it again downloads only the missing files.
    """
    from trackfarm.cli.watch import watch_job

    job_id, target = (job_or_directory, directory) if directory else (None, Path(job_or_directory))
    if job_id is not None and "/" in job_id:
        remedy = (
            f"the job comes first: `trackfarm export JOB {job_id}`; `trackfarm jobs` lists them"
        )
        raise command_error(ExitCode.BAD_INPUT, f"there is no job {job_id}; {remedy}")
    code = ExitCode.OK
    with farm_connection() as farm:
        job = job_or_newest(farm, job_id)
        if watch and not job.state.ended:
            code = watch_job(job.id, as_json=as_json)
            if code is ExitCode.INTERRUPTED:
                raise typer.Exit(code)
            job = farm.job(job.id)
        try:
            report = export_files(farm, job, target)
        except KeyboardInterrupt:
            err().print(
                "is_stopped; downloaded files are kept. Run the same command again to resume"
            )
            raise typer.Exit(ExitCode.INTERRUPTED) from None
    print_report(job, report, as_json=as_json)
    if (warning := noise_warning(job)) and not as_json:
        say(warning, style="yellow")
    raise typer.Exit(ExitCode.INCOMPLETE if report.failed else code)


def export_files(
    farm: "Client",
    job: "JobInfo",
    directory: Path,
    is_stopped: "Callable[[], bool]" = lambda: False,
) -> "ExportReport":
    """Export with a progress bar on a terminal; end the command when writing to disk fails."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from trackfarm.sdk.download import ForeignExport
    from trackfarm.sdk.download import export as fetch_all

    columns = (TextColumn("downloading"), BarColumn(), MofNCompleteColumn())
    try:
        with Progress(
            *columns, console=err(), transient=True, disable=not err().is_terminal
        ) as bar:
            task = bar.add_task("downloading", total=job.tracks.done)
            steps = fetch_all(
                job,
                directory,
                progress=lambda files: bar.update(task, completed=files),
                is_stopped=is_stopped,
            )
            return farm.driver.run(steps)
    except ForeignExport as error:
        raise command_error(ExitCode.BAD_INPUT, str(error)) from None
    except OSError as error:
        raise command_error(ExitCode.INCOMPLETE, f"cannot write to {directory}: {error}") from None


def print_report(job: "JobInfo", report: "ExportReport", *, as_json: bool) -> None:
    if as_json:
        print_json(report.as_dict())
        return
    say(
        f"{counted(report.files, 'file')} in {report.directory}: {report.fetched:,} downloaded"
        f" ({report.fetched_bytes / 1e6:,.1f} MB), {report.kept:,} already there"
    )
    say(f"manifest {report.manifest}, playlist {report.playlist}, players {report.listen}")
    if not job.state.ended:
        unfinished = job.tracks.pending + job.tracks.leased
        say(f"{counted(unfinished, 'track')} not done yet; run the same command again later")
    _complain_about(report.failed)


def _complain_about(failed: dict[str, str]) -> None:
    for file, reason in list(failed.items())[:FAILURES_SHOWN]:
        complain(f"{file}: {reason}")
    if failed:
        complain(f"{counted(len(failed), 'file')} could not be downloaded; run the command again")
