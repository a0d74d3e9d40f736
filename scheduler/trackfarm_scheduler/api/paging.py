"""Cursors: where a page ended, opaque to the caller, and the `Link` header that leads to the next.

A cursor is the place of the last row in the order of the list, so that rows that come in between
two pages are neither skipped nor shown twice.
"""

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Annotated

from fastapi import Query, Request, Response

from trackfarm_scheduler.api.problems import Refused

LINK = "Link"
Cursor = Annotated[
    str | None,
    Query(max_length=500, description="What the `next` of the page before said; none at first."),
]


def cursor_of(*place: float | str) -> str:
    """A place in an order as text for an address."""
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def place_of(cursor: str, kinds: Sequence[type]) -> list[float | str]:
    """The place that a cursor stands for, its parts of these kinds. Raises Refused (422)."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        place = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise _foreign() from None
    if not isinstance(place, list) or [type(part) for part in place] != list(kinds):
        raise _foreign()
    return place


def lead_on(request: Request, response: Response, **place: str | int) -> None:
    """Tells in the header `Link` (RFC 8288) where the next page is; without it this was the last.
    `place`: what the address says there instead, such as `cursor`."""
    url = request.url.include_query_params(**place)
    response.headers[LINK] = f'<{url.path}?{url.query}>; rel="next"'


def _foreign() -> Refused:
    flaw = {"field": "query.cursor", "message": "is none of this list; begin without one"}
    return Refused(422, "the cursor is none of this list", [flaw])
