"""Object keys: names of attempts and uploads, and the keys that any store accepts."""

import re

MAX_KEY_BYTES = 1024  # the limit of S3
MAX_PART_BYTES = 255  # the limit of Linux file systems

_TRACK_KEY = re.compile(r"[0-9a-f]{32}")
_LEASE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_OWNER = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_AUDIO_FORMAT = re.compile(r"[a-z0-9]{1,8}")


class UnsafeKey(ValueError):
    """The text cannot be an object key in every store."""


def attempt_key(track_key: str, lease_id: str, audio_format: str) -> str:
    """Return the object key for a track's attempt under one lease.

    The first two digits spread the tracks over 256 folders. The lease makes the key unique to the
    attempt, so that no two workers ever write to the same object.

    Args:
        track_key: 32 lower-case hexadecimal digits.
        lease_id: 1 to 64 letters, digits, `_` or `-`.
        audio_format: the file suffix without its dot, such as `mp3`.

    Raises:
        UnsafeKey: an argument has another form.
    """
    _require("track key", track_key, _TRACK_KEY)
    _require("lease id", lease_id, _LEASE_ID)
    _require("audio format", audio_format, _AUDIO_FORMAT)
    return f"tracks/{track_key[:2]}/{track_key}/{lease_id}.{audio_format}"


def upload_key(owner: str, sha256: str) -> str:
    """Return the object key of an owner's upload, named by its content.

    Args:
        owner: 1 to 64 letters, digits, `_` or `-`.
        sha256: 64 lower-case hexadecimal digits.

    Raises:
        UnsafeKey: an argument has another form.
    """
    _require("SHA-256", sha256, _SHA256)
    return f"{uploads_of(owner)}{sha256[:2]}/{sha256}"


def uploads_of(owner: str) -> str:
    """Return the key prefix of an owner's uploads. Raises UnsafeKey as above."""
    _require("owner", owner, _OWNER)
    return f"uploads/{owner}/"


def _require(name: str, value: str, form: re.Pattern[str]) -> None:
    if not form.fullmatch(value):
        raise UnsafeKey(f"{name} must match {form.pattern}, got {value!r}")


def checked_key(key: str) -> str:
    """Return the key itself when every store can hold it under that name.

    Raises:
        UnsafeKey: empty, absolute, with `.`, `..` or empty parts, a backslash, a non-printable
            character, or too long.
    """
    if flaw := _flaw(key):
        raise UnsafeKey(f"object key {flaw}: {key!r}")
    return key


def _flaw(key: str) -> str | None:
    if not key.isprintable():
        return "contains a non-printable character"
    if "\\" in key:
        return "contains a backslash"
    if len(key.encode()) > MAX_KEY_BYTES:
        return f"is longer than {MAX_KEY_BYTES} bytes"
    return next(filter(None, map(_part_flaw, key.split("/"))), None)


def _part_flaw(part: str) -> str | None:
    if part in ("", ".", ".."):
        return f"has the part {part!r}"
    if len(part.encode()) > MAX_PART_BYTES:
        return f"has a part longer than {MAX_PART_BYTES} bytes"
    return None
