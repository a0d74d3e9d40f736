"""Every call of `/api/v1` for jobs, tracks, workers and the farm, typed, each written once."""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import httpx

from trackfarm.client.dual import HasDriver, Mode, StepsOnly, call, stream
from trackfarm.client.errors import FarmError, was_lost, was_not_sent
from trackfarm.client.requests import (
    BLOCK_BYTES,
    act,
    ask,
    content_of,
    delete,
    get,
    parsed_answer,
    put,
    segment,
)
from trackfarm.client.sansio import Item, Request, RunInThread, Send, Steps, Stream
from trackfarm.identity import new_id
from trackfarm.protocol.operator import (
    API_PREFIX,
    NDJSON,
    EventInfo,
    FarmModelSet,
    FarmStatus,
    InvitationInfo,
    InvitationRequest,
    Invited,
    JobHeader,
    JobInfo,
    SubmitAnswer,
    TrackInfo,
    TrackPage,
    TrackState,
    UploadAnswer,
    UploadRequest,
    WorkerInfo,
)

if TYPE_CHECKING:
    from trackfarm.planning.models import Plan, PlanRequest

PAGE_SIZE = 1_000  # the scheduler's limit
SUBMIT_SECONDS = 900.0  # a million briefs take about 200 s to store
PROBE_SECONDS = 5.0


class JsonLine(Protocol):
    """A line of a submission: a brief of `trackfarm.catalog`, or anything that dumps like one."""

    def model_dump_json(self, *, exclude_unset: bool) -> str: ...


class FarmCalls(HasDriver[Mode]):
    """The calls of the API. Each raises `FarmUnreachable`, `RequestRefused` or `NotAFarm`.

    Calls that may safely run twice are retried while the farm is unreachable, too busy or failing.
    """

    @call
    def submit(
        self, header: JobHeader, briefs: Iterable[JsonLine], *, idempotency_key: str | None = None
    ) -> Steps[SubmitAnswer]:
        """Stream a catalog to the farm; submitting the same one again returns its existing job.

        Retried after a lost connection only when `briefs` can be iterated again, that is, when it
        is not an iterator. The farm executes calls with the same `idempotency_key` once; by default
        a key is generated for this call and its retries.
        """
        can_repeat = iter(briefs) is not briefs
        request = Request(
            method="POST",
            url=f"{API_PREFIX}/jobs",
            headers={
                "Content-Type": NDJSON,
                "Idempotency-Key": idempotency_key or new_id("submit"),
            },
            body=partial(_blocks, header, briefs),
            timeout=httpx.Timeout(SUBMIT_SECONDS, connect=PROBE_SECONDS),
        )
        return parsed_answer(SubmitAnswer, request, was_lost if can_repeat else was_not_sent)

    @call
    def upload(self, path: Path) -> Steps[str]:
        """Upload an audio file; return its name for a brief. Raises OSError too."""
        content = yield RunInThread(partial(content_of, path))
        request = UploadRequest(size=content.size, sha256=content.sha256)
        answer = yield from ask(UploadAnswer, "uploads", request)
        if answer.url is not None:
            yield Send(put(path, content, answer.url, answer.headers), was_lost)
        return answer.source

    @call
    def plan(self, request: "PlanRequest") -> "Steps[Plan]":
        """Estimate cost and time of these tracks on the farm's current workers."""
        from trackfarm.planning.models import Plan  # needed only here

        return ask(Plan, "plans", request)

    @call
    def jobs(self, limit: int = 50) -> Steps[list[JobInfo]]:
        """List jobs, newest first."""
        return get(list[JobInfo], "jobs", {"limit": limit})

    @call
    def job(self, job_id: str) -> Steps[JobInfo]:
        """Return the job with this id or unique beginning of one."""
        return get(JobInfo, f"jobs/{segment(job_id)}")

    @call
    def pause(self, job_id: str) -> Steps[JobInfo]:
        return act(job_id, "pause")

    @call
    def resume(self, job_id: str, *, budget: float | None = None) -> Steps[JobInfo]:
        """Resume a job that is paused or out of budget; `budget` replaces its budget."""
        return act(job_id, "resume", {"budget": budget} if budget is not None else None)

    @call
    def cancel(self, job_id: str) -> Steps[JobInfo]:
        return act(job_id, "cancel")

    @call
    def retry(self, job_id: str) -> Steps[JobInfo]:
        """Queue the failed tracks of a job again."""
        return act(job_id, "retry")

    @call
    def remove(self, job_id: str) -> Steps[JobInfo]:
        """Delete an ended job permanently, with the files that no other job shares."""
        return delete(JobInfo, f"jobs/{segment(job_id)}", was_not_sent)

    @call
    def track_page(
        self,
        job_id: str,
        *,
        after: int = 0,
        limit: int = PAGE_SIZE,
        state: TrackState | None = None,
    ) -> Steps[TrackPage]:
        """Return tracks in order of their ordinals (from 1), starting after `after`."""
        params = {"after": after, "limit": limit} | ({"state": state} if state else {})
        return get(TrackPage, f"jobs/{segment(job_id)}/tracks", params)

    @stream
    def tracks(self, job_id: str, *, state: TrackState | None = None) -> Stream[TrackInfo]:
        """Yield all tracks of a job, fetched page by page."""
        after: int | None = 0
        while after is not None:
            page = yield from STEPS.track_page(job_id, after=after, state=state)
            yield from map(Item, page.tracks)
            after = page.next

    @call
    def workers(self) -> Steps[list[WorkerInfo]]:
        return get(list[WorkerInfo], "workers")

    @call
    def remove_worker(self, worker_id: str) -> Steps[WorkerInfo]:
        """Remove a worker: its tokens are void at once, its shards are placed again."""
        return delete(WorkerInfo, f"workers/{segment(worker_id)}", was_lost)

    @call
    def drain_worker(self, worker_id: str) -> Steps[WorkerInfo]:
        """Drain a worker: it gets no new work and leaves after finishing its current work."""
        return ask(WorkerInfo, f"workers/{segment(worker_id)}/drain", None)

    @call
    def invite(self, request: InvitationRequest) -> Steps[Invited]:
        """Create a token with which machines may join. It is returned only this once."""
        return ask(Invited, "workers/invitations", request, was_not_sent)

    @call
    def invitations(self) -> Steps[list[InvitationInfo]]:
        """List invitations, newest first."""
        return get(list[InvitationInfo], "workers/invitations")

    @call
    def revoke_invitation(self, invitation_id: str) -> Steps[InvitationInfo]:
        """Revoke an invitation; workers that joined with it stay."""
        return delete(InvitationInfo, f"workers/invitations/{segment(invitation_id)}", was_lost)

    @call
    def models(self) -> Steps[list[FarmModelSet]]:
        """List all model sets that the farm knows, by name."""
        return get(list[FarmModelSet], "models")

    @call
    def status(self) -> Steps[FarmStatus]:
        return get(FarmStatus, "status")

    @call
    def events(
        self, *, job_id: str | None = None, after: int = 0, limit: int = PAGE_SIZE
    ) -> Steps[list[EventInfo]]:
        """List events, oldest first, starting after `after`."""
        params: dict[str, Any] = {"after": after, "limit": limit}
        return get(list[EventInfo], "events", params | ({"job": job_id} if job_id else {}))

    @call
    def is_healthy(self) -> Steps[bool]:
        """Return whether the scheduler serves right now; asks once and never raises."""
        try:
            yield Send(Request(method="GET", url="/healthz"), _never)
        except FarmError:
            return False
        return True


STEPS = FarmCalls[StepsOnly]()
STEPS.driver = StepsOnly()


def _never(_error: BaseException) -> bool:
    return False


def _blocks(header: JobHeader, briefs: Iterable[JsonLine]) -> Iterator[bytes]:
    """Yield the body of a submission in blocks large enough to be worth a system call."""
    block = bytearray(header.model_dump_json().encode() + b"\n")
    for brief in briefs:
        block += brief.model_dump_json(exclude_unset=True).encode() + b"\n"
        if len(block) >= BLOCK_BYTES:
            yield bytes(block)
            block.clear()
    yield bytes(block)
