"""`trackfarm ca`: certificates for a farm that has no public names."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from trackfarm.cli.console import complain, say
from trackfarm.cli.exits import ExitCode
from trackfarm_scheduler.authority import Authority, Credential

SERVERS = ("scheduler", "broker", "store", "database", "front")
AUTHORITY_LIFETIME = timedelta(days=3650)
SERVER_LIFETIME = timedelta(days=825)  # the longest that Apple's clients accept of a private CA

ca = typer.Typer(help="Certificates for a farm that has no public names.", no_args_is_help=True)


@ca.callback()
def authority() -> None:
    """Certificates for a farm that has no public names."""


@ca.command()
def create(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where the files go.")],
    host: Annotated[
        list[str],
        typer.Option(help="Name or IP address at which the servers are reached; may be repeated."),
    ],
) -> None:
    """Make a certificate authority, and certificates for each server of a farm.

    Keep ca.key away from the farm: whoever has it can pass for any of its servers. Overwrites
    nothing.
    """
    now = datetime.now(UTC)
    made = Authority.create("trackfarm private CA", now=now, lifetime=AUTHORITY_LIFETIME)
    files = {"ca": made.pem()} | {
        name: made.server(f"trackfarm {name}", host, now=now, lifetime=SERVER_LIFETIME)
        for name in SERVERS
    }
    try:
        write(directory, files)
    except FileExistsError as error:
        complain(f"{error.filename} exists; name a directory without certificates")
        raise typer.Exit(ExitCode.BAD_INPUT) from None
    say(_explanation(directory.resolve(), host[0]))


def write(directory: Path, files: dict[str, Credential]) -> None:
    """`<name>.crt` and `<name>.key` of each, the keys for their owner's eyes only.

    Raises FileExistsError before anything is written.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in files:
        for path in (directory / f"{name}.crt", directory / f"{name}.key"):
            if path.exists():
                raise FileExistsError(None, "exists", str(path))
    for name, credential in files.items():
        _create(directory / f"{name}.crt", credential.certificate, 0o644)
        _create(directory / f"{name}.key", credential.key, 0o600)


def _create(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _explanation(folder: Path, host: str) -> str:
    return f"""\
the scheduler's machine:
  TRACKFARM_SCHEDULER_TLS_CERTIFICATE={folder}/scheduler.crt
  TRACKFARM_SCHEDULER_TLS_KEY={folder}/scheduler.key
  TRACKFARM_SCHEDULER_CA_FILE={folder}/ca.crt
  TRACKFARM_SCHEDULER_PUBLIC_URL=https://{host}:8700
  TRACKFARM_SCHEDULER_BROKER_URL=rediss://:<password>@{host}:6380/0?ssl_cert_reqs=required
the broker (redis.conf):
  port 0
  tls-port 6380
  tls-auth-clients no
  tls-cert-file {folder}/broker.crt
  tls-key-file {folder}/broker.key
  tls-ca-cert-file {folder}/ca.crt
the store: {folder}/store.crt and {folder}/store.key (MinIO: public.crt and private.key)
the database: {folder}/database.crt and {folder}/database.key (PostgreSQL: ssl_cert_file, ssl_key_file)
a proxy in front of all: {folder}/front.crt and {folder}/front.key
each worker, with a copy of ca.crt:
  TRACKFARM_WORKER_CA_FILE=/path/to/ca.crt
the operator's machine, with a copy of ca.crt:
  TRACKFARM_CA_FILE=/path/to/ca.crt"""
