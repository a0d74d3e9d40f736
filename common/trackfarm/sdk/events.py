"""Following a job until it ends: by polling its state, or by its stream of events."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx

from trackfarm.client.calls import STEPS
from trackfarm.client.errors import FarmUnreachable, RequestRefused, is_temporary
from trackfarm.client.requests import segment
from trackfarm.client.sansio import Item, OpenStream, Pause, ReadLine, Request, RunInThread, Stream
from trackfarm.protocol.operator import API_PREFIX, JobInfo, JobState

POLL_SECONDS = 0.5
MAX_OUTAGE_SECONDS = 120.0  # a scheduler that restarts is back within seconds
READ_TIMEOUT_SECONDS = 45.0  # three heartbeats
RECONNECT_SECONDS = 1.0
_ENDED_STATES = frozenset(state.value for state in JobState if state.ended)


@dataclass(frozen=True, slots=True)
class Outage:
    """The farm has been unreachable, failing or too busy for `seconds`."""

    seconds: float


JobUpdate = JobInfo | Outage


def follow(
    job_id: str,
    *,
    wait: Callable[[float], object] | None = None,
    clock: Callable[[], float] = time.monotonic,
    poll_seconds: float = POLL_SECONDS,
    max_outage_seconds: float = MAX_OUTAGE_SECONDS,
) -> Stream[JobUpdate]:
    """Yield the job's state, or the outage, every `poll_seconds` until the job ends.

    `wait(seconds)` waits that long, and returns true to stop following.

    Raises:
        FarmUnreachable: the farm was unreachable for `max_outage_seconds`.
        RequestRefused: the farm answered 429 or 5xx for that long, the job does not exist, or the
            key is wrong.
    """
    outage_start: float | None = None
    while True:
        try:
            job = yield from STEPS.job(job_id)
        except (FarmUnreachable, RequestRefused) as error:
            if not is_temporary(error):
                raise
            outage_start = clock() if outage_start is None else outage_start
            if clock() - outage_start >= max_outage_seconds:
                raise
            yield Item(Outage(clock() - outage_start))
        else:
            outage_start = None
            yield Item(job)
            if job.state.ended:
                return
        if (
            yield Pause(poll_seconds) if wait is None else RunInThread(partial(wait, poll_seconds))
        ):
            return


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One event of a job.

    `kind` is `progress` (the job's current state), `track` (a track changed its state) or `job`
    (the job did). `data` is the event's JSON; `id` is the position to resume after, None if it has
    none.
    """

    kind: str
    data: dict[str, Any]
    id: str | None = None

    @property
    def has_ended_state(self) -> bool:
        return self.kind in ("progress", "job") and self.data.get("state") in _ENDED_STATES


@dataclass(slots=True)
class EventReader:
    """Parser of an event stream's lines into events (HTML standard, section 9.2)."""

    _fields: dict[str, str] = field(default_factory=dict)

    def feed(self, line: str) -> JobEvent | None:
        """Take one line; return the event that it completes, else None."""
        if line:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            joined = "data" in self._fields and name == "data"
            self._fields[name] = f"{self._fields['data']}\n{value}" if joined else value
            return None
        fields, self._fields = self._fields, {}
        if "data" not in fields:
            return None
        data = json.loads(fields["data"])
        return JobEvent(fields.get("event", "message"), data, fields.get("id"))


def stream_events(
    job_id: str, after: str = "0", *, clock: Callable[[], float] = time.monotonic
) -> Stream[JobEvent]:
    """Yield the job's events after the event `after`, by default all, until the job has ended.

    A broken stream is resumed after the last event received.

    Raises:
        FarmUnreachable: the farm was unreachable for two minutes.
        RequestRefused: the job does not exist, or the key is wrong.
    """
    last_received = clock()
    while True:
        try:
            line = yield OpenStream(_request(job_id, after))
            reader, ended = EventReader(), False
            while line is not None:
                last_received = clock()
                if (event := reader.feed(line)) is not None:
                    after = event.id or after
                    yield Item(event)
                    ended = event.has_ended_state
                # An end event may be an old one, of a job that was retried since: ask for the state
                # at a `job` event, or at the heartbeat that follows the last event.
                if ended and ((event and event.kind == "job") or line.startswith(":")):
                    if (yield from STEPS.job(job_id)).state.ended:
                        return
                    ended = False
                line = yield ReadLine()
        except FarmUnreachable:
            if clock() - last_received >= MAX_OUTAGE_SECONDS:
                raise
        except RequestRefused as error:
            if error.problem.status != 429 or clock() - last_received >= MAX_OUTAGE_SECONDS:
                raise
        yield Pause(RECONNECT_SECONDS)


def _request(job_id: str, after: str) -> Request:
    return Request(
        method="GET",
        url=f"{API_PREFIX}/jobs/{segment(job_id)}/events",
        headers={"Accept": "text/event-stream", "Last-Event-ID": after},
        timeout=httpx.Timeout(READ_TIMEOUT_SECONDS, connect=5.0),
    )
