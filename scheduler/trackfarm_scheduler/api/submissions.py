"""Streamed submission: one header line, then one brief per line, stored in chunks."""

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from sqlmodel import Session
from starlette.concurrency import run_in_threadpool

from trackfarm.catalog import Brief, brief_problems
from trackfarm.model_sets import ModelSet, UnknownModelSet, model_set
from trackfarm.planning import BriefProblem, check_for_model_set
from trackfarm.protocol.operator import JobHeader
from trackfarm_scheduler import job_plan
from trackfarm_scheduler.api.errors import ApiError
from trackfarm_scheduler.api.uploads import SourceCheck
from trackfarm_scheduler.db import api_keys, audit
from trackfarm_scheduler.db import submission as submission_db
from trackfarm_scheduler.db.submission import JobSubmission, SealedJob
from trackfarm_scheduler.policy.identity import Caller
from trackfarm_scheduler.services import Services

CHUNK_BRIEFS = 2_000
CHUNK_SECONDS = 30.0
MAX_LINE_BYTES = 256 * 1024
MAX_ERRORS = 1_000
TIMED_OUT = (
    "the upload timed out, because no brief arrived for too long; nothing was stored: send it again"
)


async def receive(services: Services, caller: Caller, body: AsyncIterator[bytes]) -> SealedJob:
    """Store the whole submission, or nothing if a line is invalid or the client disconnects.

    Raises ApiError.
    """
    chunks = _chunks(_lines(body))
    first: list[bytes] = await anext(chunks, [])
    header, kind = _header(first)
    submission = _Submission(services, header, kind, caller)
    await run_in_threadpool(submission.open)
    try:
        await run_in_threadpool(submission.add, first[1:])
        async for lines in chunks:
            await run_in_threadpool(submission.add, lines)
        return await run_in_threadpool(submission.seal)
    except submission_db.SubmissionExpired:
        raise ApiError(408, TIMED_OUT) from None
    except BaseException:
        await run_in_threadpool(submission.abandon)
        raise


async def _lines(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    rest = b""
    async for part in body:
        *whole, rest = (rest + part).split(b"\n")
        for line in whole:
            if line.strip():
                yield line
        if len(rest) > MAX_LINE_BYTES:
            raise ApiError(413, f"a line is longer than {MAX_LINE_BYTES} bytes")
    if rest.strip():
        yield rest


async def _chunks(lines: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
    """Group lines into chunks by number or by time: a stored chunk keeps the upload alive."""
    chunk: list[bytes] = []
    started = time.monotonic()
    async for line in lines:
        chunk.append(line)
        if len(chunk) == CHUNK_BRIEFS or time.monotonic() - started >= CHUNK_SECONDS:
            yield chunk
            chunk, started = [], time.monotonic()
    if chunk:
        yield chunk


def _header(lines: Sequence[bytes]) -> tuple[JobHeader, ModelSet]:
    if not lines:
        raise ApiError(422, "the submission is empty: send a header line, then one brief per line")
    try:
        header = JobHeader.model_validate_json(lines[0])
        return header, model_set(header.model_set)
    except ValidationError as error:
        raise ApiError(422, "the header line is not valid", _header_errors(error)) from error
    except UnknownModelSet as error:
        raise ApiError(422, str(error)) from error


@dataclass(slots=True)
class _Submission:
    services: Services
    header: JobHeader
    kind: ModelSet
    caller: Caller
    intake: JobSubmission = field(init=False)
    sources: SourceCheck = field(init=False)
    rows: int = 0
    quota_left: int | None = None
    errors: list[dict[str, Any]] = field(default_factory=list)
    error_count: int = 0

    def __post_init__(self) -> None:
        self.intake = JobSubmission(
            owner=self.caller.owner,
            key_id=self.caller.identity.key_id,
            header=self.header,
            model_set=self.kind,
            now=self.services.clock(),
        )
        self.sources = SourceCheck(self.services.objects, self.caller.owner)

    def open(self) -> None:
        key = self.caller.identity
        with self.services.database.write() as session:
            if key.most_tracks is not None:
                self.quota_left = key.most_tracks - api_keys.count_unfinished_tracks(
                    session, key.key_id
                )
            self.intake.open(session)

    def add(self, lines: Sequence[bytes]) -> None:
        with self.services.database.read() as session:
            briefs = [brief for line in lines if (brief := self._brief(session, line))]
        if briefs and not self.error_count:
            with self.services.database.write() as session:
                self.intake.add(session, briefs, self.services.clock())
            self._require_quota()

    def _require_quota(self) -> None:
        if self.quota_left is None or self.intake.new_tracks <= self.quota_left:
            return
        max_tracks = self.caller.identity.most_tracks
        detail = (
            f"this key may have {max_tracks} unfinished tracks and has room for {max(0, self.quota_left)}"
            f" more, but this catalog has at least {self.intake.new_tracks} new ones. Nothing was"
            " stored: wait for tracks to finish, cancel a job, submit less, or ask for a larger quota"
        )
        raise ApiError(409, detail)

    def _brief(self, session: Session, line: bytes) -> Brief | None:
        self.rows += 1
        try:
            brief = Brief.model_validate_json(line)
            check_for_model_set(brief, self.kind)
        except ValidationError as error:
            self._note(
                [
                    {"row": self.rows, "field": f.field, "message": f"{f.wrong}; {f.remedy}"}
                    for f in brief_problems(error)
                ]
            )
        except BriefProblem as problem:
            row = {"row": self.rows, "field": problem.field, "message": problem.message}
            self._note([row])
        else:
            errors = self.sources.errors(session, self.rows, brief)
            if not errors:
                return brief
            self._note(errors)
        return None

    def _note(self, errors: list[dict[str, Any]]) -> None:
        self.error_count += len(errors)
        self.errors += errors[: MAX_ERRORS - len(self.errors)]

    def seal(self) -> SealedJob:
        if self.error_count:
            detail = f"{self.error_count} mistakes in {self.rows} briefs; nothing was stored"
            raise ApiError(422, detail, self.errors)
        if not self.rows:
            raise ApiError(422, "the submission has no briefs")
        with self.services.database.write() as session:
            sealed = self.intake.seal(session)
            if not sealed.already_submitted:
                job_plan.keep(session, sealed.job_id, self.services.prices)
            audit.record(
                session,
                at=self.services.clock(),
                by=self.caller.actor,
                action="job.submit",
                target=sealed.job_id,
            )
            return sealed

    def abandon(self) -> None:
        with self.services.database.write() as session:
            submission_db.abandon(session, self.intake.job_id)


def _header_errors(error: ValidationError) -> list[dict[str, Any]]:
    return [
        {"row": 0, "field": ".".join(str(part) for part in e["loc"]), "message": e["msg"]}
        for e in error.errors(include_url=False, include_context=False, include_input=False)
    ]
