"""The farm's certificate authority in environment variables, the only input of a rented machine.

At Vast.ai a value has at most 256 characters, and all of them together 32,768 (its guide to
creating instances), so the PEM text is encoded as Base64 and split over numbered variables.
"""

import base64
import binascii
import re
import ssl
from collections.abc import Mapping
from itertools import count, takewhile
from pathlib import Path

from trackfarm.settings import SettingsError

PREFIX = "TRACKFARM_WORKER_CA_PEM_"
PIECE = 256
MOST_BYTES = 16 * 1024  # as Base64, two thirds of Vast.ai's limit
_CERTIFICATE = re.compile("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def packed(ca_file: Path, *, setting: str) -> dict[str, str]:
    """Encode the certificates of a PEM file as environment variables for a machine.

    Raises:
        SettingsError: the file that `setting` names has no certificates, too many, or a key.
    """
    try:
        text = ca_file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{setting}={ca_file} cannot be read ({error})") from error
    if "PRIVATE KEY" in text:
        raise SettingsError(
            f"{setting}={ca_file} contains a private key, which must not be sent to machines:"
            " name a file with certificates only"
        )
    pem = "\n".join([*_CERTIFICATE.findall(text), ""])
    _require_certificates(pem, f"{setting}={ca_file}")
    if len(pem) > MOST_BYTES:
        raise SettingsError(
            f"{setting}={ca_file} has {len(pem)} bytes of certificates, more than the limit"
            f" of {MOST_BYTES}: name only the farm's own authority"
        )
    return {f"{PREFIX}{n}": piece for n, piece in enumerate(_pieces(pem), start=1)}


def unpacked(environ: Mapping[str, str]) -> str:
    """Decode the PEM text from the environment; empty if there is none.

    Raises SettingsError if it is damaged.
    """
    names = (f"{PREFIX}{number}" for number in count(1))
    pieces = [environ[name] for name in takewhile(lambda name: environ.get(name), names)]
    if not pieces:
        return ""
    try:
        pem = base64.b64decode("".join(pieces), validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise SettingsError(f"{PREFIX}… is damaged ({error})") from error
    _require_certificates(pem, f"{PREFIX}…")
    return pem


def _pieces(pem: str) -> list[str]:
    encoded = base64.b64encode(pem.encode()).decode()
    return [encoded[start : start + PIECE] for start in range(0, len(encoded), PIECE)]


def _require_certificates(pem: str, what: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError) as error:
        raise SettingsError(f"{what} has no readable PEM certificate ({error})") from error
