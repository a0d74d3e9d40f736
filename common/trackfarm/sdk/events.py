"""What happens to a job as it happens: server-sent events, resumed where they broke off."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from trackfarm.api import PREFIX, JobState
from trackfarm.client.asking import segment
from trackfarm.client.calls import PLAIN
from trackfarm.client.endings import FarmUnreachable, Refused
from trackfarm.client.steps import Hear, Item, Listen, Pause, Request, Stream
from trackfarm.sdk.following import GIVE_UP_AFTER

SILENCE_SECONDS = 45.0  # three heartbeats
AGAIN_SECONDS = 1.0
_ENDED = frozenset(state.value for state in JobState if state.ended)


@dataclass(frozen=True, slots=True)
class JobEvent:
    """`progress`: how the job stands; `track`: one of its tracks has another state; `job`: it has.
    `data` is what the farm says of it, `id` the place to go on behind, None where there is none."""

    kind: str
    data: dict[str, Any]
    id: str | None = None

    @property
    def says_ended(self) -> bool:
        return self.kind in ("progress", "job") and self.data.get("state") in _ENDED


@dataclass(slots=True)
class EventReader:
    """Lines of an event stream, as the HTML standard (section 9.2) has them, into events."""

    _fields: dict[str, str] = field(default_factory=dict)

    def feed(self, line: str) -> JobEvent | None:
        """The event that this line ends."""
        if line:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            joined = "data" in self._fields and name == "data"
            self._fields[name] = f"{self._fields['data']}\n{value}" if joined else value
            return None
        told, self._fields = self._fields, {}
        if "data" not in told:
            return None
        return JobEvent(told.get("event", "message"), json.loads(told["data"]), told.get("id"))


def listen(
    job_id: str, after: str = "0", *, clock: Callable[[], float] = time.monotonic
) -> Stream[JobEvent]:
    """Everything that happens to the job behind the event `after`, from its beginning if left out,
    until it has ended. A stream that breaks off is gone on with where it was.

    Raises:
        FarmUnreachable: the farm was away for two minutes.
        Refused: the job does not exist, or the key is wrong.
    """
    heard = clock()
    while True:
        try:
            line = yield Listen(_request(job_id, after))
            reader, ended = EventReader(), False
            while line is not None:
                heard = clock()
                if (event := reader.feed(line)) is not None:
                    after = event.id or after
                    yield Item(event)
                    ended = event.says_ended
                # An end may be an old one, of a job that was retried; a heartbeat says: no more.
                if ended and ((event and event.kind == "job") or line.startswith(":")):
                    if (yield from PLAIN.job(job_id)).state.ended:
                        return
                    ended = False
                line = yield Hear()
        except FarmUnreachable:
            if clock() - heard >= GIVE_UP_AFTER:
                raise
        except Refused as error:
            if error.problem.status != 429 or clock() - heard >= GIVE_UP_AFTER:
                raise
        yield Pause(AGAIN_SECONDS)


def _request(job_id: str, after: str) -> Request:
    return Request(
        method="GET",
        url=f"{PREFIX}/jobs/{segment(job_id)}/events",
        headers={"Accept": "text/event-stream", "Last-Event-ID": after},
        timeout=httpx.Timeout(SILENCE_SECONDS, connect=5.0),
    )
