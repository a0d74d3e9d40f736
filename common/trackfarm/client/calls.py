"""Every call of `/api/v1` for jobs, tracks, workers and the farm itself, typed and each written once."""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import httpx

from trackfarm.api import (
    NDJSON,
    PREFIX,
    Event,
    FarmModelSet,
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
from trackfarm.client.asking import act, answered, ask, delete, get, segment
from trackfarm.client.endings import FarmError, lost, never_sent
from trackfarm.client.steps import Item, Request, Send, Steps, Stream, Work
from trackfarm.client.uploading import content_of, put
from trackfarm.client.worlds import Driven, Plain, World, call, stream
from trackfarm.ids import new_id

if TYPE_CHECKING:
    from trackfarm.planning.records import Plan, PlanRequest

PAGE_SIZE = 1_000  # the most that the scheduler gives at once
BLOCK_BYTES = 64 * 1024
SUBMIT_SECONDS = 900.0  # a million briefs take about 200 s to store
PROBE_SECONDS = 5.0


class Line(Protocol):
    """What a submission is made of: a brief of `trackfarm.catalog`, or whatever prints like it."""

    def model_dump_json(self, *, exclude_unset: bool) -> str: ...


class Calls(Driven[World]):
    """Calls that may be repeated are, while the farm cannot be reached, is too busy or fails; each
    raises `FarmUnreachable`, `Refused` or `NotAFarm`."""

    @call
    def submit(
        self, header: JobHeader, briefs: Iterable[Line], *, idempotency_key: str | None = None
    ) -> Steps[SubmitAnswer]:
        """Streams a catalog to the farm; the same one again finds the job it made before.

        Repeated after a lost connection only when `briefs` can be gone through again, that is,
        when it is not an iterator. The farm carries out what has the same `idempotency_key` once;
        left out, one is made for this call and its repetitions.
        """
        repeatable = iter(briefs) is not briefs
        request = Request(
            method="POST",
            url=f"{PREFIX}/jobs",
            headers={
                "Content-Type": NDJSON,
                "Idempotency-Key": idempotency_key or new_id("submit"),
            },
            body=partial(_blocks, header, briefs),
            timeout=httpx.Timeout(SUBMIT_SECONDS, connect=PROBE_SECONDS),
        )
        return answered(SubmitAnswer, request, lost if repeatable else never_sent)

    @call
    def upload(self, path: Path) -> Steps[str]:
        """Brings a file of music to the farm; what a brief calls it. Raises OSError as well."""
        content = yield Work(partial(content_of, path))
        wanted = UploadRequest(size=content.size, sha256=content.sha256)
        answer = yield from ask(UploadAnswer, "uploads", wanted)
        if answer.url is not None:
            yield Send(put(path, content, answer.url, answer.headers), lost)
        return answer.source

    @call
    def plan(self, request: "PlanRequest") -> "Steps[Plan]":
        """What these tracks would cost on the farm as it is, and when they would be done."""
        from trackfarm.planning.records import Plan  # needed by nobody else

        return ask(Plan, "plans", request)

    @call
    def jobs(self, limit: int = 50) -> Steps[list[Job]]:
        """Newest first."""
        return get(list[Job], "jobs", {"limit": limit})

    @call
    def job(self, job_id: str) -> Steps[Job]:
        """By id or by any unique beginning of it."""
        return get(Job, f"jobs/{segment(job_id)}")

    @call
    def pause(self, job_id: str) -> Steps[Job]:
        return act(job_id, "pause")

    @call
    def resume(self, job_id: str, *, budget: float | None = None) -> Steps[Job]:
        """Lets a paused job, or one that is out of budget, go on; `budget` replaces the old one."""
        return act(job_id, "resume", {"budget": budget} if budget is not None else None)

    @call
    def cancel(self, job_id: str) -> Steps[Job]:
        return act(job_id, "cancel")

    @call
    def retry(self, job_id: str) -> Steps[Job]:
        """Gives the failed tracks of a job another chance."""
        return act(job_id, "retry")

    @call
    def remove(self, job_id: str) -> Steps[Job]:
        """Removes an ended job for good, with the files that no other job shares."""
        return delete(Job, f"jobs/{segment(job_id)}", never_sent)

    @call
    def track_page(
        self,
        job_id: str,
        *,
        after: int = 0,
        limit: int = PAGE_SIZE,
        state: TrackState | None = None,
    ) -> Steps[TrackPage]:
        """Tracks in the order of their ordinals (from 1), from the one behind `after`."""
        params = {"after": after, "limit": limit} | ({"state": state} if state else {})
        return get(TrackPage, f"jobs/{segment(job_id)}/tracks", params)

    @stream
    def tracks(self, job_id: str, *, state: TrackState | None = None) -> Stream[Track]:
        """All tracks of a job, page by page."""
        after: int | None = 0
        while after is not None:
            page = yield from PLAIN.track_page(job_id, after=after, state=state)
            yield from map(Item, page.tracks)
            after = page.next

    @call
    def workers(self) -> Steps[list[Worker]]:
        return get(list[Worker], "workers")

    @call
    def remove_worker(self, worker_id: str) -> Steps[Worker]:
        """Ends a worker: its tokens are void at once, what it held is placed again."""
        return delete(Worker, f"workers/{segment(worker_id)}", lost)

    @call
    def drain_worker(self, worker_id: str) -> Steps[Worker]:
        """Gives a worker nothing new; it leaves when it has finished what it has."""
        return ask(Worker, f"workers/{segment(worker_id)}/drain", None)

    @call
    def invite(self, request: InvitationRequest) -> Steps[Invited]:
        """Makes a token with which machines may join. It is told this once."""
        return ask(Invited, "workers/invitations", request, never_sent)

    @call
    def invitations(self) -> Steps[list[Invitation]]:
        """Newest first."""
        return get(list[Invitation], "workers/invitations")

    @call
    def revoke_invitation(self, invitation_id: str) -> Steps[Invitation]:
        """Nobody joins by it any more; who has joined stays."""
        return delete(Invitation, f"workers/invitations/{segment(invitation_id)}", lost)

    @call
    def models(self) -> Steps[list[FarmModelSet]]:
        """All that the farm knows, by name."""
        return get(list[FarmModelSet], "models")

    @call
    def status(self) -> Steps[FarmStatus]:
        return get(FarmStatus, "status")

    @call
    def events(
        self, *, job_id: str | None = None, after: int = 0, limit: int = PAGE_SIZE
    ) -> Steps[list[Event]]:
        """Oldest first, from the one behind `after`."""
        params: dict[str, Any] = {"after": after, "limit": limit}
        return get(list[Event], "events", params | ({"job": job_id} if job_id else {}))

    @call
    def healthy(self) -> Steps[bool]:
        """Whether the scheduler serves right now; asks once and never raises."""
        try:
            yield Send(Request(method="GET", url="/healthz"), _never)
        except FarmError:
            return False
        return True


PLAIN = Calls[Plain]()
PLAIN.driver = Plain()


def _never(_error: BaseException) -> bool:
    return False


def _blocks(header: JobHeader, briefs: Iterable[Line]) -> Iterator[bytes]:
    """The body of a submission in pieces worth a system call each."""
    block = bytearray(header.model_dump_json().encode() + b"\n")
    for brief in briefs:
        block += brief.model_dump_json(exclude_unset=True).encode() + b"\n"
        if len(block) >= BLOCK_BYTES:
            yield bytes(block)
            block.clear()
    yield bytes(block)
