"""Whom a TLS connection trusts: the public authorities, and the farm's own where it has one."""

import ssl
from pathlib import Path

import httpx

from trackfarm.settings import SettingsError


def verification(ca_file: Path | None, *, setting: str) -> ssl.SSLContext | bool:
    """What httpx calls `verify`: certificates and host names are always checked; the authority in
    `ca_file` (PEM) is trusted beside the public ones.

    Raises:
        SettingsError: the file that `setting` names is no certificate.
    """
    if ca_file is None:
        return True
    context = httpx.create_ssl_context()
    trust_also(context, ca_file, setting=setting)
    return context


def check_server(certificate: Path, key: Path, *, settings: str) -> None:
    """Raises SettingsError unless a server could show this certificate with this key (PEM)."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except OSError as error:
        raise SettingsError(
            f"{settings}: {certificate} and {key} are no certificate with its key"
            f" ({error.strerror or error})"
        ) from error


def trust_also(context: ssl.SSLContext, ca_file: Path, *, setting: str) -> None:
    """Adds the authority of a PEM file to a context. Raises SettingsError as `verification`."""
    try:
        context.load_verify_locations(ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise SettingsError(
            f"{setting}={ca_file} cannot be read as a PEM certificate ({error.strerror or error})"
        ) from error
