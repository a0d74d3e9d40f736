"""`trackfarm ca`: certificates for a farm without public names."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from trackfarm.cli.console import ExitCode, complain, say
from trackfarm_scheduler.auth.ca import Authority, Credential

SERVERS = ("scheduler", "broker", "store", "database", "front")
AUTHORITY_LIFETIME = timedelta(days=3650)
SERVER_LIFETIME = timedelta(days=825)  # the longest that Apple's clients accept from a private CA

ca = typer.Typer(help="Create certificates for a farm without public names.", no_args_is_help=True)


@ca.callback()
def authority() -> None:
    """Create certificates for a farm without public names."""


@ca.command()
def create(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Directory for the files.")],
    host: Annotated[
        list[str],
        typer.Option(help="Host name or IP address of the servers; may be repeated."),
    ],
) -> None:
    """Create a certificate authority and a certificate for each server of a farm.

    Store ca.key outside the farm: anyone with this key can impersonate the farm's servers. Existing
    files are never overwritten.
    """
    now = datetime.now(UTC)
    certificate_authority = Authority.create(
        "trackfarm private CA", now=now, lifetime=AUTHORITY_LIFETIME
    )
    files = {"ca": certificate_authority.pem()} | {
        name: certificate_authority.server(
            f"trackfarm {name}", host, now=now, lifetime=SERVER_LIFETIME
        )
        for name in SERVERS
    }
    try:
        write(directory, files)
    except FileExistsError as error:
        complain(f"{error.filename} exists already; choose a directory without certificates")
        raise typer.Exit(ExitCode.BAD_INPUT) from None
    say(_explanation(directory.resolve(), host[0]))


def write(directory: Path, files: dict[str, Credential]) -> None:
    """Write `<name>.crt` and `<name>.key` for each credential; only their owner can read the keys.

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
