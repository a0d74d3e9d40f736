"""Pagination: opaque cursors, and the `Link` header with the address of the next page.

A cursor is the sort key of the last row of a page, so that rows that are inserted between two
requests cause neither gaps nor repeats.
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
    Query(
        max_length=500, description="From the `next` link of the previous page; omit it at first."
    ),
]


def cursor_of(*place: float | str) -> str:
    """Encode a sort key as text for a URL."""
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def place_of(cursor: str, kinds: Sequence[type]) -> list[float | str]:
    """Decode a cursor into a sort key with parts of these types. Raises Refused (422)."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        place = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise _foreign() from None
    if not isinstance(place, list) or [type(part) for part in place] != list(kinds):
        raise _foreign()
    return place


def lead_on(request: Request, response: Response, **place: str | int) -> None:
    """Set the `Link` header (RFC 8288) to the next page; the last page has no such header.

    `place`: the query parameters that differ on the next page, such as `cursor`.
    """
    url = request.url.include_query_params(**place)
    response.headers[LINK] = f'<{url.path}?{url.query}>; rel="next"'


def _foreign() -> Refused:
    flaw = {"field": "query.cursor", "message": "is not a cursor of this list; omit it to start"}
    return Refused(422, "the cursor does not belong to this list", [flaw])
