"""Signatures of the directory store's URLs: pure functions over text and time."""

import hashlib
import hmac
import re
from enum import Enum

MIN_SECRET_BYTES = 16


class Verdict(Enum):
    """What a signature is worth now."""

    GOOD = "good"
    WRONG = "wrong signature"
    EXPIRED = "expired"


def put_right(*, once: bool) -> str:
    """What a PUT URL gives the right to, as it is signed: a right to write once is no right to
    replace."""
    return "PUT once" if once else "PUT"


def signature(secret: bytes, method: str, key: str, expires: int, filename: str = "") -> str:
    """HMAC-SHA256, in hexadecimal, of one right: this method, on this key, until `expires`.

    `expires` is in seconds since 1970. Neither a key nor a file name holds a line feed, so the
    four lines cannot be read in two ways.
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
    """Judges the texts of a request; `now` is in seconds since 1970.

    A wrong signature is called wrong even when it has expired too: only who held a good URL may
    learn that it has run out.
    """
    if not re.fullmatch(r"[0-9]{1,12}", expires) or "\n" in filename:
        return Verdict.WRONG
    right = signature(secret, method, key, int(expires), filename)
    if not hmac.compare_digest(right.encode(), given.encode(errors="replace")):
        return Verdict.WRONG
    return Verdict.EXPIRED if now >= int(expires) else Verdict.GOOD
