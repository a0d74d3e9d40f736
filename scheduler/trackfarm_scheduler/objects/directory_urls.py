"""Signatures of the directory store's URLs, and the lifetime limits of signed URLs: pure functions
over text and time."""

import hashlib
import hmac
import re
from datetime import timedelta
from enum import Enum

MIN_SECRET_BYTES = 16
LONGEST = timedelta(days=7)  # the limit of AWS signature version 4


class SignatureCheck(Enum):
    """Result of checking a signature."""

    GOOD = "good"
    WRONG = "wrong signature"
    EXPIRED = "expired"


def put_right(*, once: bool) -> str:
    """Return the operation to sign for a PUT URL: a permission to write once does not permit
    replacing."""
    return "PUT once" if once else "PUT"


def sign(secret: bytes, method: str, key: str, expires: int, filename: str = "") -> str:
    """Return the HMAC-SHA256, in hexadecimal, of one permission: this method, on this key, until
    `expires`.

    `expires` is in seconds since 1970. Neither a key nor a file name contains a line feed, so the
    four lines are unambiguous.
    """
    text = "\n".join((method, key, str(expires), filename))
    return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()


def check_signature(
    secret: bytes,
    method: str,
    key: str,
    *,
    expires: str,
    signature: str,
    filename: str = "",
    now: float,
) -> SignatureCheck:
    """Check the signature of a request; `now` is in seconds since 1970.

    A wrong signature is reported as wrong even when it has expired too: only the holder of a valid
    URL may learn that it has expired.
    """
    if not re.fullmatch(r"[0-9]{1,12}", expires) or "\n" in filename:
        return SignatureCheck.WRONG
    expected = sign(secret, method, key, int(expires), filename)
    if not hmac.compare_digest(expected.encode(), signature.encode(errors="replace")):
        return SignatureCheck.WRONG
    return SignatureCheck.EXPIRED if now >= int(expires) else SignatureCheck.GOOD


def whole_seconds(lifetime: timedelta) -> int:
    """Return the lifetime in whole seconds, rounded down.

    Raises:
        ValueError: it is shorter than one second or longer than seven days.
    """
    if not timedelta(seconds=1) <= lifetime <= LONGEST:
        raise ValueError(f"the lifetime of a signed URL is 1 second to 7 days, got {lifetime}")
    return int(lifetime.total_seconds())
