"""Object keys: how an attempt at a track is named and what any store accepts as a key."""

import re

MAX_KEY_BYTES = 1024  # the limit of S3
MAX_PART_BYTES = 255  # the limit of Linux file systems

_TRACK_KEY = re.compile(r"[0-9a-f]{32}")
_LEASE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_AUDIO_FORMAT = re.compile(r"[a-z0-9]{1,8}")


class UnsafeKey(ValueError):
    """The text cannot name an object in every store."""


def attempt_key(track_key: str, lease_id: str, audio_format: str) -> str:
    """The object key of one lease's attempt at one track.

    The two leading digits spread the tracks over 256 folders. The lease makes the key unique
    to the attempt, so that no two workers ever write to the same object.

    Args:
        track_key: 32 lower-case hexadecimal digits.
        lease_id: 1 to 64 letters, digits, `_` or `-`.
        audio_format: the file suffix without its dot, such as `mp3`.

    Raises:
        UnsafeKey: an argument has another form.
    """
    for name, value, form in (
        ("track key", track_key, _TRACK_KEY),
        ("lease id", lease_id, _LEASE_ID),
        ("audio format", audio_format, _AUDIO_FORMAT),
    ):
        if not form.fullmatch(value):
            raise UnsafeKey(f"{name} must match {form.pattern}, got {value!r}")
    return f"tracks/{track_key[:2]}/{track_key}/{lease_id}.{audio_format}"


def checked_key(key: str) -> str:
    """The key itself when every store can hold it under that name.

    Raises:
        UnsafeKey: empty, absolute, with `.`, `..` or empty parts, a backslash, a character that
            cannot be printed, or too long.
    """
    if flaw := _flaw(key):
        raise UnsafeKey(f"object key {flaw}: {key!r}")
    return key


def _flaw(key: str) -> str | None:
    if not key.isprintable():
        return "has a character that cannot be printed"
    if "\\" in key:
        return "has a backslash"
    if len(key.encode()) > MAX_KEY_BYTES:
        return f"is longer than {MAX_KEY_BYTES} bytes"
    return next(filter(None, map(_part_flaw, key.split("/"))), None)


def _part_flaw(part: str) -> str | None:
    if part in ("", ".", ".."):
        return f"has the part {part!r}"
    if len(part.encode()) > MAX_PART_BYTES:
        return f"has a part longer than {MAX_PART_BYTES} bytes"
    return None
