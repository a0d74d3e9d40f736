"""Server-sent events as bytes (pure). The format is that of the HTML standard, section 9.2."""

import json
from collections.abc import Mapping
from typing import Any

HEARTBEAT = b": still here\n\n"
TRACK_STATE: Mapping[str, str] = {
    "track_done": "done",
    "track_failed": "failed",
    "track_retried": "pending",
    "artifact_voided": "pending",
}
# None: the state depends on the previous one.
JOB_STATE: Mapping[str, str | None] = {
    "job_accepted": "accepted",
    "job_started": "running",
    "job_paused": "paused",
    "job_resumed": "running",
    "job_reopened": "running",
    "job_retried": None,
    "job_done": "done",
    "job_failed": "failed",
    "job_cancelled": "cancelled",
    "job_out_of_budget": "out_of_budget",
}
KINDS = frozenset(TRACK_STATE) | frozenset(JOB_STATE)


def frame(event: str, data: Mapping[str, Any], number: int | None = None) -> bytes:
    """Encode one event. `number` is its id, from which `Last-Event-ID` resumes."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))  # contains no line break
    head = "" if number is None else f"id: {number}\n"
    return f"{head}event: {event}\ndata: {text}\n\n".encode()


def last_event_id(given: str | None) -> int | None:
    """Parse the `Last-Event-ID` header; None when it is missing or not a number."""
    return int(given) if given and given.isdecimal() and len(given) < 19 else None
