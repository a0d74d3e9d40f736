"""Lists: query parameters that filter them, opaque cursors, and the `Link` header with the address of
the next page.

A cursor is the sort key of the last row of a page, so that rows that are inserted between two
requests cause neither gaps nor repeats.
"""

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Annotated

from fastapi import Query, Request, Response
from pydantic import AfterValidator, AwareDatetime, BaseModel, Field

from trackfarm.protocol.operator import JobState, TrackState, WorkerState
from trackfarm_scheduler.api.errors import ApiError

LINK = "Link"
Cursor = Annotated[
    str | None,
    Query(
        max_length=500, description="From the `next` link of the previous page; omit it at first."
    ),
]


def encode_cursor(*sort_key: float | str) -> str:
    """Encode a sort key as text for a URL."""
    return base64.urlsafe_b64encode(json.dumps(sort_key).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, types: Sequence[type]) -> list[float | str]:
    """Decode a cursor into a sort key with parts of these types. Raises ApiError (422)."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        sort_key = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise _invalid_cursor() from None
    if not isinstance(sort_key, list) or [type(part) for part in sort_key] != list(types):
        raise _invalid_cursor()
    return sort_key


def set_next_link(request: Request, response: Response, **sort_key: str | int) -> None:
    """Set the `Link` header (RFC 8288) to the next page; the last page has no such header.

    `place`: the query parameters that differ on the next page, such as `cursor`.
    """
    url = request.url.include_query_params(**sort_key)
    response.headers[LINK] = f'<{url.path}?{url.query}>; rel="next"'


def _invalid_cursor() -> ApiError:
    flaw = {"field": "query.cursor", "message": "is not a cursor of this list; omit it to start"}
    return ApiError(422, "the cursor does not belong to this list", [flaw])


MAX_ID = 2**53  # the largest integer range that JavaScript numbers represent exactly


def _label(text: str) -> str:
    name, _, value = text.partition("=")
    if not name or not value:
        raise ValueError("must be a label and its value, as in zone=lobby")
    return text


Tags = Annotated[
    list[Annotated[str, Field(max_length=401), AfterValidator(_label)]],
    Field(
        max_length=8,
        description="A label and its value, as `zone=lobby`; if repeated, all must match.",
    ),
]


class _Filter(BaseModel):
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None

    @property
    def between(self) -> tuple[float | None, float | None]:
        """The bounds in Unix seconds; None where there is none."""
        since, until = (t.timestamp() if t else None for t in (self.since, self.until))
        return since, until


class JobFilter(_Filter):
    """Filter for jobs. `since` and `until` apply to the creation time."""

    state: list[JobState] = Field(default=[], max_length=16)
    catalog: str | None = Field(default=None, max_length=200)
    tag: Tags = []
    cursor: Cursor = None
    limit: int = Field(default=50, ge=1, le=500)


class TrackFilter(_Filter):
    """Filter for tracks. `after` is an ordinal; `since` and `until` apply to the end time."""

    state: list[TrackState] = Field(default=[], max_length=16)
    tag: Tags = []
    after: int = Field(default=0, ge=0, le=MAX_ID)
    limit: int = Field(default=100, ge=1, le=1000)


class EventFilter(_Filter):
    """Filter for events. `after` is the id of an event."""

    job: str | None = None
    kind: list[str] = Field(default=[], max_length=32)
    after: int = Field(default=0, ge=0, le=MAX_ID)
    limit: int = Field(default=200, ge=1, le=1000)


class WorkerFilter(_Filter):
    """Filter for workers. `since` and `until` apply to the registration time."""

    state: list[WorkerState] = Field(default=[], max_length=16)
    model_set: str | None = Field(default=None, max_length=200)
    cursor: Cursor = None
    limit: int = Field(default=1000, ge=1, le=1000)


class ModelSetFilter(BaseModel):
    cursor: Cursor = None
    limit: int = Field(default=1000, ge=1, le=1000)


def labels_of(tags: list[str]) -> list[tuple[str, str]]:
    """Split `label=value` texts into pairs."""
    return [(name, value) for name, _, value in (text.partition("=") for text in tags)]
