"""What a request may carry (pure): how many bytes, by where it goes, and how deep its JSON is."""

from itertools import accumulate

from trackfarm import api, wire

MIB = 2**20
STRANGER_BYTES = 64 * 1024  # as much is read of anybody; more only of who has a key
ORDINARY_BYTES = MIB
REPORT_BYTES = 16 * MIB  # a thousand tracks with the longest messages are 6 MB
PLAN_BYTES = 32 * MIB  # 250,000 shapes are 15 MB
UPLOAD_BYTES = 2 * api.SOURCE_BYTES + MIB  # a source, a reference and the fields beside them
RELEASE = "/release_task"
# Each name that a call does not take costs fifty times what one costs that it takes.
MOST_QUOTES = 200_000  # a thousand tracks done and as many failed have 90,000
PLAN_QUOTES = 4_000_000
MOST_DEPTH = 32
_BRACKETS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_BRACKETS = bytes(set(range(256)) - set(_BRACKETS))
_NUL = b"\\u0000"


def is_stream(method: str, path: str) -> bool:
    """Whether the body is taken in piece by piece by its own route, which bounds it as well."""
    return path.startswith("/objects/") or (method, path) == ("POST", f"{api.PREFIX}/jobs")


def is_upload(method: str, path: str, content_type: bytes) -> bool:
    """Whether files come in a form, which its own route takes in piece by piece."""
    is_form = content_type.lower().startswith(b"multipart/form-data")
    return is_form and (method, path) == ("POST", RELEASE)


def most_bytes(path: str) -> int:
    """The longest body of a request that is no stream."""
    if path in (f"{wire.PREFIX}/register", f"{wire.PREFIX}/heartbeat"):
        return STRANGER_BYTES
    if path.startswith(f"{wire.PREFIX}/") and path.endswith("/report"):
        return REPORT_BYTES
    return PLAN_BYTES if path == f"{api.PREFIX}/plans" else ORDINARY_BYTES


def most_quotes(path: str) -> int:
    """How many quotation marks the JSON for an address may have: two for each name and text."""
    return PLAN_QUOTES if path == f"{api.PREFIX}/plans" else MOST_QUOTES


def json_flaw(body: bytes, quotes: int = MOST_QUOTES) -> str | None:
    """What forbids a body whatever it means: too deep for a parser that calls itself, more names
    than any request has, or a character that PostgreSQL stores in no text."""
    if _NUL in body:
        return "the body has the character NUL, which no text here may have"
    if body.count(b'"') - body.count(b'\\"') > quotes:
        return f"the body has more than {quotes // 2} names and texts"
    # Most bodies have so few brackets that they need not be looked at one by one.
    if body.count(b"[") + body.count(b"{") > MOST_DEPTH and depth(body) > MOST_DEPTH:
        return f"the body is nested deeper than {MOST_DEPTH} levels"
    return None


def depth(body: bytes) -> int:
    """How deep the brackets outside of strings are nested."""
    outside = b"".join(body.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')[::2])
    brackets = outside.translate(None, delete=_NO_BRACKETS)
    return max(accumulate(map(_BRACKETS.__getitem__, brackets)), default=0)
