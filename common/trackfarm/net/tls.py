"""Trusted authorities of TLS connections: the public ones, and the farm's own if it has one.

A rented machine's only input is its environment. At Vast.ai a value has at most 256 characters, and
all of them together 32,768 (its guide to creating instances), so the PEM text of the farm's own
authority is encoded as Base64 and split over numbered variables.
"""

import base64
import binascii
import re
import ssl
from collections.abc import Mapping
from itertools import count, takewhile
from pathlib import Path

import httpx

from trackfarm.settings import ClientSettingsError


def tls_verify(ca_file: Path | None, *, setting: str) -> ssl.SSLContext | bool:
    """Return the value for httpx's `verify`.

    Certificates and host names are always checked; the authority in `ca_file` (PEM) is trusted in
    addition to the public ones.

    Raises:
        ClientSettingsError: the file that `setting` names is not a certificate.
    """
    if ca_file is None:
        return True
    context = httpx.create_ssl_context()
    trust_ca_file(context, ca_file, setting=setting)
    return context


def check_server_certificate(certificate: Path, key: Path, *, settings: str) -> None:
    """Raise ClientSettingsError unless a server could use this certificate with this key (PEM)."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except OSError as error:
        raise ClientSettingsError(
            f"{settings}: {certificate} and {key} are not a certificate and its key"
            f" ({error.strerror or error})"
        ) from error


def trust_ca_file(context: ssl.SSLContext, ca_file: Path, *, setting: str) -> None:
    """Add the authority of a PEM file to a context. Raises ClientSettingsError, as `tls_verify`."""
    try:
        context.load_verify_locations(ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise ClientSettingsError(
            f"{setting}={ca_file} cannot be read as a PEM certificate ({error.strerror or error})"
        ) from error


PREFIX = "TRACKFARM_WORKER_CA_PEM_"
PIECE = 256
MOST_BYTES = 16 * 1024  # as Base64, two thirds of Vast.ai's limit
_CERTIFICATE = re.compile("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def pack_ca(ca_file: Path, *, setting: str) -> dict[str, str]:
    """Encode the certificates of a PEM file as environment variables for a machine.

    Raises:
        ClientSettingsError: the file that `setting` names has no certificates, too many, or a key.
    """
    try:
        text = ca_file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ClientSettingsError(f"{setting}={ca_file} cannot be read ({error})") from error
    if "PRIVATE KEY" in text:
        raise ClientSettingsError(
            f"{setting}={ca_file} contains a private key, which must not be sent to machines:"
            " name a file with certificates only"
        )
    pem = "\n".join([*_CERTIFICATE.findall(text), ""])
    _require_certificates(pem, f"{setting}={ca_file}")
    if len(pem) > MOST_BYTES:
        raise ClientSettingsError(
            f"{setting}={ca_file} has {len(pem)} bytes of certificates, more than the limit"
            f" of {MOST_BYTES}: name only the farm's own authority"
        )
    return {f"{PREFIX}{n}": piece for n, piece in enumerate(_pieces(pem), start=1)}


def unpack_ca(environ: Mapping[str, str]) -> str:
    """Decode the PEM text from the environment; empty if there is none.

    Raises ClientSettingsError if it is damaged.
    """
    names = (f"{PREFIX}{number}" for number in count(1))
    pieces = [environ[name] for name in takewhile(lambda name: environ.get(name), names)]
    if not pieces:
        return ""
    try:
        pem = base64.b64decode("".join(pieces), validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ClientSettingsError(f"{PREFIX}… is damaged ({error})") from error
    _require_certificates(pem, f"{PREFIX}…")
    return pem


def _pieces(pem: str) -> list[str]:
    encoded = base64.b64encode(pem.encode()).decode()
    return [encoded[start : start + PIECE] for start in range(0, len(encoded), PIECE)]


def _require_certificates(pem: str, what: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError) as error:
        raise ClientSettingsError(f"{what} has no readable PEM certificate ({error})") from error
