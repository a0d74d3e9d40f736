"""Secrets that can be recognised wherever they turn up, in any of the forms that text takes."""

import base64
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

SIGNED = re.compile(rb"(?i)(?:signature=|x-amz-signature=)[0-9a-f]{16}")


def canary(name: str) -> str:
    """A secret whose name can be read off it; safe in a URL and in a configuration file."""
    return f"canary.{name}.{secrets.token_hex(12)}"


def forms_of(secret: str) -> set[bytes]:
    """As it is, URL-encoded, in base64 at each of its three alignments, in hexadecimal."""
    raw = secret.encode()
    forms = {raw, quote(secret, safe="").encode(), raw.hex().encode()}
    for lead in range(3):
        # The characters at both ends depend on what stands beside the secret.
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            forms.add(encode(b"x" * lead + raw).rstrip(b"=")[4:-4])
    return forms


def leaks(content: bytes, canaries: Mapping[str, str]) -> list[str]:
    """The names of the secrets that a content holds."""
    return [
        name
        for name, secret in canaries.items()
        if any(form in content for form in forms_of(secret))
    ]


def leaks_in(
    places: Iterable[tuple[str, bytes]], canaries: Mapping[str, str]
) -> dict[str, list[str]]:
    """The places that hold a secret, with the secrets' names."""
    return {place: found for place, content in places if (found := leaks(content, canaries))}


def files_below(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(folder)), path.read_bytes()
