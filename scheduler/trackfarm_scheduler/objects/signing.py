"""Signatures of the directory store's URLs: pure functions over text and time."""

import hashlib
import hmac
import re
from enum import Enum

MIN_SECRET_BYTES = 16


class Verdict(Enum):
    """Result of checking a signature."""

    GOOD = "good"
    WRONG = "wrong signature"
    EXPIRED = "expired"


def put_right(*, once: bool) -> str:
    """Return the operation to sign for a PUT URL: a permission to write once does not permit
    replacing."""
    return "PUT once" if once else "PUT"


def signature(secret: bytes, method: str, key: str, expires: int, filename: str = "") -> str:
    """Return the HMAC-SHA256, in hexadecimal, of one permission: this method, on this key, until
    `expires`.

    `expires` is in seconds since 1970. Neither a key nor a file name contains a line feed, so the
    four lines are unambiguous.
    """
    text = "\n".join((method, key, str(expires), filename))
    return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()


def verdict(
    secret: bytes,
    method: str,
    key: str,
    *,
    expires: str,
    given: str,
    filename: str = "",
    now: float,
) -> Verdict:
    """Check the signature of a request; `now` is in seconds since 1970.

    A wrong signature is reported as wrong even when it has expired too: only the holder of a valid
    URL may learn that it has expired.
    """
    if not re.fullmatch(r"[0-9]{1,12}", expires) or "\n" in filename:
        return Verdict.WRONG
    expected = signature(secret, method, key, int(expires), filename)
    if not hmac.compare_digest(expected.encode(), given.encode(errors="replace")):
        return Verdict.WRONG
    return Verdict.EXPIRED if now >= int(expires) else Verdict.GOOD
