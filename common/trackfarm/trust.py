"""Trusted authorities of TLS connections: the public ones, and the farm's own if it has one."""

import ssl
from pathlib import Path

import httpx

from trackfarm.settings import SettingsError


def verification(ca_file: Path | None, *, setting: str) -> ssl.SSLContext | bool:
    """Return the value for httpx's `verify`.

    Certificates and host names are always checked; the authority in `ca_file` (PEM) is trusted in
    addition to the public ones.

    Raises:
        SettingsError: the file that `setting` names is not a certificate.
    """
    if ca_file is None:
        return True
    context = httpx.create_ssl_context()
    trust_also(context, ca_file, setting=setting)
    return context


def check_server(certificate: Path, key: Path, *, settings: str) -> None:
    """Raise SettingsError unless a server could use this certificate with this key (PEM)."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except OSError as error:
        raise SettingsError(
            f"{settings}: {certificate} and {key} are not a certificate and its key"
            f" ({error.strerror or error})"
        ) from error


def trust_also(context: ssl.SSLContext, ca_file: Path, *, setting: str) -> None:
    """Add the authority of a PEM file to a context. Raises SettingsError as `verification`."""
    try:
        context.load_verify_locations(ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise SettingsError(
            f"{setting}={ca_file} cannot be read as a PEM certificate ({error.strerror or error})"
        ) from error
