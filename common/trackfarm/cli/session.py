"""Parts that commands share: arguments, and a connection that ends the command on an error."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trackfarm.cli.console import ExitCode, complain
from trackfarm.settings import ClientSettingsError, FarmAddress, farm_file, find_farm, home_path
from trackfarm.text import clean

if TYPE_CHECKING:
    from trackfarm.client import Client, RequestRefused
    from trackfarm.client.admin import Administration
    from trackfarm.protocol.operator import JobInfo


@contextmanager
def farm_connection(*, retry_seconds: float = 3.0, timeout: float = 30.0) -> Iterator["Client"]:
    """Connect to the farm of the settings; end the command with a message on any error."""
    address = configured_farm()
    with (
        exit_on_farm_errors(),
        _farm(address, retry_seconds=retry_seconds, timeout=timeout) as farm,
    ):
        yield farm


def _farm(address: FarmAddress, *, retry_seconds: float, timeout: float) -> "Client":
    from trackfarm.client import Client

    try:
        return Client(
            address.url,
            address.api_key,
            retry_seconds=retry_seconds,
            timeout=timeout,
            ca_file=address.ca_file,
            insecure=address.insecure,
        )
    except ClientSettingsError as error:
        raise command_error(ExitCode.BAD_INPUT, str(error)) from None


@contextmanager
def admin_connection(*, retry_seconds: float = 3.0) -> Iterator["Administration"]:
    """Connect like `farm_connection`, for commands that need a key with scope `admin`."""
    from trackfarm.client.admin import Administration

    address = configured_farm()
    with (
        exit_on_farm_errors(),
        Administration(address.url, address.api_key, retry_seconds=retry_seconds) as farm,
    ):
        yield farm


@contextmanager
def exit_on_farm_errors() -> Iterator[None]:
    """Turn every error of the client into a message on stderr and its exit code."""
    from trackfarm.client import FarmError, FarmUnreachable, RequestRefused, UnsafeAddress

    try:
        yield
    except FarmUnreachable as error:
        raise command_error(ExitCode.UNREACHABLE, str(error)) from None
    except RequestRefused as error:
        raise command_error(_refusal_code(error), _refusal_text(error)) from None
    except UnsafeAddress as error:
        raise command_error(ExitCode.BAD_INPUT, str(error)) from None
    except FarmError as error:
        raise command_error(ExitCode.UNREACHABLE, str(error)) from None


def command_error(code: ExitCode, complaint: str) -> typer.Exit:
    """Print the message on stderr and return the exception that ends the command."""
    complain(complaint)
    return typer.Exit(code)


def configured_farm() -> FarmAddress:
    """Return the farm of the settings; end the command when they name none."""
    try:
        address = find_farm(os.environ)
    except ClientSettingsError as error:
        raise command_error(ExitCode.BAD_INPUT, str(error)) from None
    if address is None:
        raise command_error(
            ExitCode.UNREACHABLE,
            f"no farm found: {farm_file(home_path(os.environ))} does not exist; start one with"
            " `trackfarm up` or set TRACKFARM_URL and TRACKFARM_API_KEY",
        )
    return address


def job_or_newest(farm: "Client", job_id: str | None) -> "JobInfo":
    """Return the job of this id, or the newest one; end the command when there is none."""
    if job_id is not None:
        if "/" in job_id:  # most likely a file path
            raise command_error(
                ExitCode.REFUSED, f"there is no job {job_id}; `trackfarm jobs` lists them"
            )
        return farm.job(job_id)
    if newest := farm.jobs(limit=1):
        return newest[0]
    raise command_error(
        ExitCode.REFUSED, "this farm has no jobs yet; submit one with `trackfarm submit CATALOG`"
    )


def _refusal_code(error: "RequestRefused") -> ExitCode:
    # 422 alone is about the input: the same mistakes that `check` finds.
    return ExitCode.BAD_INPUT if error.problem.status == 422 else ExitCode.REFUSED


def _refusal_text(error: "RequestRefused") -> str:
    from trackfarm.client.errors import mistake_line

    problem = error.problem
    if problem.status == 401:
        return "the farm refused the API key; check TRACKFARM_API_KEY"
    lines = [": ".join(dict.fromkeys(filter(None, [problem.title, problem.detail])))]
    return clean("\n".join(lines + [mistake_line(mistake) for mistake in problem.errors]))


JobArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[JOB]", help="Job id or a unique beginning of it; default: the newest job."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
WatchOption = Annotated[bool, typer.Option("--watch", help="Follow the job until it ends.")]
CatalogArgument = Annotated[
    Path, typer.Argument(metavar="CATALOG", exists=True, dir_okay=False, help="The catalog file.")
]
