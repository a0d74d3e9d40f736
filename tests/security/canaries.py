"""Canary secrets that are recognised anywhere, in any encoding."""

import base64
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

SIGNED = re.compile(rb"(?i)(?:signature=|x-amz-signature=)[0-9a-f]{16}")


def canary(name: str) -> str:
    """Make a secret that contains its name; safe in URLs and configuration files."""
    return f"canary.{name}.{secrets.token_hex(12)}"


def forms_of(secret: str) -> set[bytes]:
    """Return the secret in all encodings: plain, URL, hexadecimal, base64 at three alignments."""
    raw = secret.encode()
    forms = {raw, quote(secret, safe="").encode(), raw.hex().encode()}
    for lead in range(3):
        # The characters at both ends depend on the bytes next to the secret.
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            forms.add(encode(b"x" * lead + raw).rstrip(b"=")[4:-4])
    return forms


def leaks(content: bytes, canaries: Mapping[str, str]) -> list[str]:
    """Return the names of the secrets that the content contains."""
    return [
        name
        for name, secret in canaries.items()
        if any(form in content for form in forms_of(secret))
    ]


def leaks_in(
    places: Iterable[tuple[str, bytes]], canaries: Mapping[str, str]
) -> dict[str, list[str]]:
    """Return the places that contain secrets, with the names of the secrets."""
    return {place: names for place, content in places if (names := leaks(content, canaries))}


def files_below(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(folder)), path.read_bytes()
