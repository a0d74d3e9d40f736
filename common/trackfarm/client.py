"""The farm as a Python object: every call of `/api/v1`, typed, with patience for short outages."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError
from tenacity import (
    Retrying,
    retry_if_exception,
    stop_after_delay,
    wait_exponential,
    wait_random,
)

from trackfarm.addresses import http_fault
from trackfarm.api import (
    NDJSON,
    PREFIX,
    Event,
    FarmStatus,
    Invitation,
    InvitationRequest,
    Invited,
    Job,
    JobHeader,
    SubmitAnswer,
    Track,
    TrackPage,
    TrackState,
    UploadAnswer,
    UploadRequest,
    Worker,
)
from trackfarm.endings import (
    FarmError,
    FarmUnreachable,
    NotAFarm,
    Refused,
    Unavailable,
    checked,
    lost,
    never_sent,
)
from trackfarm.trust import verification
from trackfarm.uploading import content_of, put

if TYPE_CHECKING:
    from trackfarm.planning.records import Plan, PlanRequest

__all__ = ["Farm", "FarmError", "FarmUnreachable", "NotAFarm", "Refused", "UnsafeAddress"]
PAGE_SIZE = 1_000  # the most that the scheduler gives at once
BLOCK_BYTES = 64 * 1024
SUBMIT_SECONDS = 900.0  # a million briefs take about 200 s to store

_Answer = TypeVar("_Answer")
_Rule = Callable[[BaseException], bool]


class UnsafeAddress(FarmError):
    """The API key would cross a network in clear text."""


class Line(Protocol):
    """What a submission is made of: a brief of `trackfarm.catalog`, or whatever prints like it."""

    def model_dump_json(self, *, exclude_unset: bool) -> str: ...


class Farm:
    """A connection to the farm at `url`; a context manager. Safe to use from several threads.

    Calls that may be repeated are, for up to `patience` seconds, while the farm cannot be reached
    or answers 502, 503 or 504. `timeout` (seconds) bounds each wait for the network. `ca_file` (PEM)
    is trusted beside the public authorities; `insecure` allows http:// off this machine.

    Every call raises `FarmUnreachable`, `Refused` or `NotAFarm`; making one, `UnsafeAddress`, or
    `SettingsError` for a `ca_file` that is none.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        patience: float = 10.0,
        timeout: float = 30.0,
        ca_file: Path | None = None,
        insecure: bool = False,
    ) -> None:
        fault = http_fault(url, setting="TRACKFARM_URL", insecure="TRACKFARM_INSECURE")
        if fault and not insecure:
            raise UnsafeAddress(fault)
        self.url = url.rstrip("/")
        self.verify = verification(ca_file, setting="TRACKFARM_CA_FILE")
        self._patience = patience
        self._http = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=httpx.Timeout(timeout, connect=min(timeout, 5.0)),
            verify=self.verify,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def submit(self, header: JobHeader, briefs: Iterable[Line]) -> SubmitAnswer:
        """Streams a catalog to the farm; the same one again finds the job it made before.

        Repeated after a lost connection only when `briefs` can be gone through again, that is,
        when it is not an iterator.
        """
        repeatable = iter(briefs) is not briefs
        response = self._send(
            lambda: self._http.request(
                "POST",
                f"{PREFIX}/jobs",
                content=_blocks(header, briefs),
                headers={"Content-Type": NDJSON},
                timeout=httpx.Timeout(SUBMIT_SECONDS, connect=5.0),
            ),
            repeat=lost if repeatable else never_sent,
        )
        return self._read(SubmitAnswer, response)

    def upload(self, path: Path) -> str:
        """Brings a file of music to the farm; what a brief calls it. Raises OSError as well."""
        content = content_of(path)
        wanted = UploadRequest(size=content.size, sha256=content.sha256)
        answer = self._ask(UploadAnswer, "uploads", wanted)
        if (url := answer.url) is not None:
            headers, timeout, verify = answer.headers, self._http.timeout, self.verify
            self._send(lambda: put(path, content, url, headers, timeout, verify), repeat=lost)
        return answer.source

    def plan(self, request: "PlanRequest") -> "Plan":
        """What these tracks would cost on the farm as it is, and when they would be done."""
        from trackfarm.planning.records import Plan  # needed by nobody else

        return self._ask(Plan, "plans", request)

    def jobs(self, limit: int = 50) -> list[Job]:
        """Newest first."""
        return self._get(list[Job], "jobs", {"limit": limit})

    def job(self, job_id: str) -> Job:
        """By id or by any unique beginning of it."""
        return self._get(Job, f"jobs/{segment(job_id)}")

    def pause(self, job_id: str) -> Job:
        return self._act(job_id, "pause")

    def resume(self, job_id: str, *, budget: float | None = None) -> Job:
        """Lets a paused job, or one that is out of budget, go on; `budget` replaces the old one."""
        return self._act(job_id, "resume", {"budget": budget} if budget is not None else None)

    def cancel(self, job_id: str) -> Job:
        return self._act(job_id, "cancel")

    def retry(self, job_id: str) -> Job:
        """Gives the failed tracks of a job another chance."""
        return self._act(job_id, "retry")

    def remove(self, job_id: str) -> Job:
        """Removes an ended job for good, with the files that no other job shares."""
        call = partial(self._http.delete, f"{PREFIX}/jobs/{segment(job_id)}")
        return self._read(Job, self._send(call, repeat=never_sent))

    def track_page(
        self,
        job_id: str,
        *,
        after: int = 0,
        limit: int = PAGE_SIZE,
        state: TrackState | None = None,
    ) -> TrackPage:
        """Tracks in the order of their ordinals (from 1), from the one behind `after`."""
        params = {"after": after, "limit": limit} | ({"state": state} if state else {})
        return self._get(TrackPage, f"jobs/{segment(job_id)}/tracks", params)

    def tracks(self, job_id: str, *, state: TrackState | None = None) -> Iterator[Track]:
        """All tracks of a job, page by page."""
        page = self.track_page(job_id, state=state)
        yield from page.tracks
        while page.next is not None:
            page = self.track_page(job_id, after=page.next, state=state)
            yield from page.tracks

    def workers(self) -> list[Worker]:
        return self._get(list[Worker], "workers")

    def remove_worker(self, worker_id: str) -> Worker:
        """Ends a worker: its tokens are void at once, what it held is placed again."""
        return self._delete(Worker, f"workers/{segment(worker_id)}")

    def drain_worker(self, worker_id: str) -> Worker:
        """Gives a worker nothing new; it leaves when it has finished what it has."""
        return self._ask(Worker, f"workers/{segment(worker_id)}/drain", None)

    def invite(self, request: InvitationRequest) -> Invited:
        """Makes a token with which machines may join. It is told this once."""
        return self._ask(Invited, "workers/invitations", request, repeat=never_sent)

    def invitations(self) -> list[Invitation]:
        """Newest first."""
        return self._get(list[Invitation], "workers/invitations")

    def revoke_invitation(self, invitation_id: str) -> Invitation:
        """Nobody joins by it any more; who has joined stays."""
        return self._delete(Invitation, f"workers/invitations/{segment(invitation_id)}")

    def status(self) -> FarmStatus:
        return self._get(FarmStatus, "status")

    def events(
        self, *, job_id: str | None = None, after: int = 0, limit: int = PAGE_SIZE
    ) -> list[Event]:
        """Oldest first, from the one behind `after`."""
        params: dict[str, Any] = {"after": after, "limit": limit}
        return self._get(list[Event], "events", params | ({"job": job_id} if job_id else {}))

    def healthy(self) -> bool:
        """Whether the scheduler serves right now; asks once and never raises."""
        try:
            return bool(self._http.get("/healthz").status_code == 200)
        except httpx.TransportError:
            return False

    def _get(self, kind: type[_Answer], path: str, params: dict[str, Any] | None = None) -> _Answer:
        call = partial(self._http.get, f"{PREFIX}/{path}", params=params)
        return self._read(kind, self._send(call, repeat=lost))

    def _delete(self, kind: type[_Answer], path: str) -> _Answer:
        call = partial(self._http.delete, f"{PREFIX}/{path}")
        return self._read(kind, self._send(call, repeat=lost))

    def _ask(
        self, kind: type[_Answer], path: str, question: BaseModel | None, *, repeat: _Rule = lost
    ) -> _Answer:
        """A POST; repeated when `repeat` says that its failure allows it."""
        body = question.model_dump_json() if question is not None else None
        headers = {"Content-Type": "application/json"} if body else None
        call = partial(self._http.post, f"{PREFIX}/{path}", content=body, headers=headers)
        return self._read(kind, self._send(call, repeat=repeat))

    def _act(self, job_id: str, action: str, query: dict[str, float] | None = None) -> Job:
        path = f"{PREFIX}/jobs/{segment(job_id)}/{action}"
        call = partial(self._http.post, path, params=query)
        return self._read(Job, self._send(call, repeat=never_sent))

    def _send(self, call: Callable[[], httpx.Response], *, repeat: _Rule) -> httpx.Response:
        def once() -> httpx.Response:
            return checked(call())

        try:
            return Retrying(
                retry=retry_if_exception(repeat),
                stop=stop_after_delay(self._patience),
                wait=wait_exponential(multiplier=0.1, max=2.0) + wait_random(0, 0.1),
                reraise=True,
            )(once)
        except httpx.TransportError as error:
            raise FarmUnreachable(self.url, str(error) or type(error).__name__) from error
        except Unavailable as error:
            raise FarmUnreachable(self.url, f"it answers {error.status}") from error

    def _read(self, kind: type[_Answer], response: httpx.Response) -> _Answer:
        try:
            return TypeAdapter(kind).validate_json(response.content)
        except ValidationError as error:
            raise NotAFarm(
                f"{response.url} answered something that is not trackfarm's API"
                f" ({error.error_count()} mistakes, the first: {error.errors()[0]['msg']});"
                " check TRACKFARM_URL and that both sides have the same version"
            ) from error


def segment(text: str) -> str:
    """One part of a path, so that an id like `a/../b` cannot name something else."""
    return quote(text, safe="")


def _blocks(header: JobHeader, briefs: Iterable[Line]) -> Iterator[bytes]:
    """The body of a submission in pieces worth a system call each."""
    block = bytearray(header.model_dump_json().encode() + b"\n")
    for brief in briefs:
        block += brief.model_dump_json(exclude_unset=True).encode() + b"\n"
        if len(block) >= BLOCK_BYTES:
            yield bytes(block)
            block.clear()
    yield bytes(block)
