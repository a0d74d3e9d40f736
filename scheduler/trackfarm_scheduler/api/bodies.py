"""Limits on request bodies (pure): bytes by path, nesting depth and size of JSON."""

from itertools import accumulate

from trackfarm import api, wire

MIB = 2**20
STRANGER_BYTES = 64 * 1024  # read without authentication; longer bodies need a key
ORDINARY_BYTES = MIB
REPORT_BYTES = 16 * MIB  # a thousand tracks with the longest messages are 6 MB
PLAN_BYTES = 32 * MIB  # 250,000 shapes are 15 MB
UPLOAD_BYTES = 2 * api.SOURCE_BYTES + MIB  # a source, a reference and the fields beside them
RELEASE = "/release_task"
# An unknown field costs fifty times as much to reject as a known one costs to parse.
MOST_QUOTES = 200_000  # a thousand tracks done and as many failed have 90,000
PLAN_QUOTES = 4_000_000
MOST_DEPTH = 32
_BRACKETS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_BRACKETS = bytes(set(range(256)) - set(_BRACKETS))
_NUL = b"\\u0000"


def is_stream(method: str, path: str) -> bool:
    """True if the route reads the body as a stream and limits its size itself."""
    return path.startswith("/objects/") or (method, path) == ("POST", f"{api.PREFIX}/jobs")


def is_upload(method: str, path: str, content_type: bytes) -> bool:
    """True if the body is a multipart form with files, which its route reads as a stream."""
    is_form = content_type.lower().startswith(b"multipart/form-data")
    return is_form and (method, path) == ("POST", RELEASE)


def most_bytes(path: str) -> int:
    """Return the maximum size in bytes of a body that is not streamed."""
    if path in (f"{wire.PREFIX}/register", f"{wire.PREFIX}/heartbeat"):
        return STRANGER_BYTES
    if path.startswith(f"{wire.PREFIX}/") and path.endswith("/report"):
        return REPORT_BYTES
    return PLAN_BYTES if path == f"{api.PREFIX}/plans" else ORDINARY_BYTES


def most_quotes(path: str) -> int:
    """Return how many quotation marks a JSON body may have: two for each name and string."""
    return PLAN_QUOTES if path == f"{api.PREFIX}/plans" else MOST_QUOTES


def json_flaw(body: bytes, quotes: int = MOST_QUOTES) -> str | None:
    """Return why a body is refused unparsed, or None.

    Reasons: nesting too deep for a recursive parser, more names than any valid request has, or a
    NUL character, which PostgreSQL cannot store in text.
    """
    if _NUL in body:
        return "the body contains a NUL character, which is not allowed"
    if body.count(b'"') - body.count(b'\\"') > quotes:
        return f"the body has more than {quotes // 2} names and strings"
    # Most bodies have too few brackets to be nested this deep: skip the exact count.
    if body.count(b"[") + body.count(b"{") > MOST_DEPTH and depth(body) > MOST_DEPTH:
        return f"the body is nested deeper than {MOST_DEPTH} levels"
    return None


def depth(body: bytes) -> int:
    """Return the nesting depth of the brackets outside strings."""
    outside = b"".join(body.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')[::2])
    brackets = outside.translate(None, delete=_NO_BRACKETS)
    return max(accumulate(map(_BRACKETS.__getitem__, brackets)), default=0)
