"""The calls as steps: each sends the right request, and is retried only where that is safe."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from trackfarm.catalog import Brief
from trackfarm.client.calls import STEPS
from trackfarm.client.errors import ServerError, was_lost, was_not_sent
from trackfarm.client.sansio import Request, Send, Steps, Stream
from trackfarm.protocol.base import ProblemDetails
from trackfarm.protocol.operator import JobHeader, TrackState

HEADER = JobHeader(catalog="hotel")
BRIEFS = [Brief(prompt=f"piano {n}", duration=10) for n in range(3)]
FAILED = ServerError(ProblemDetails(title="No", status=503, detail=""), None)


def first_step(call: Steps[Any] | Stream[Any]) -> Send:
    step = next(call)
    call.close()
    assert isinstance(step, Send)
    return step


def request_of(call: Steps[Any] | Stream[Any]) -> Request:
    return first_step(call).request


def test_ids_are_quoted_in_paths() -> None:
    assert request_of(STEPS.job("a/../b")).url == "/api/v1/jobs/a%2F..%2Fb"
    assert request_of(STEPS.remove_worker("x y?")).url == "/api/v1/workers/x%20y%3F"


def test_lists_pass_their_cursor_and_filter() -> None:
    tracks = request_of(STEPS.track_page("job_1", after=7, limit=9, state=TrackState.DONE))
    assert tracks.params == {"after": 7, "limit": 9, "state": TrackState.DONE}
    assert request_of(STEPS.events(after=3)).params == {"after": 3, "limit": 1_000}
    assert request_of(STEPS.events(job_id="j")).params == {"after": 0, "limit": 1_000, "job": "j"}


def test_resume_passes_a_budget_only_if_there_is_one() -> None:
    assert request_of(STEPS.resume("j")).params is None
    assert request_of(STEPS.resume("j", budget=5)).params == {"budget": 5}


@pytest.mark.parametrize(
    ("call", "is_retried"),
    [
        pytest.param(STEPS.jobs(), True, id="jobs"),
        pytest.param(STEPS.drain_worker("w"), True, id="drain_worker"),
        pytest.param(STEPS.submit(HEADER, BRIEFS), True, id="submit of a list"),
        pytest.param(STEPS.submit(HEADER, iter(BRIEFS)), False, id="submit of an iterator"),
        pytest.param(STEPS.pause("j"), False, id="pause"),
        pytest.param(STEPS.remove("j"), False, id="remove"),
    ],
)
def test_calls_are_retried_after_a_failure_only_if_they_may_run_twice(
    call: Steps[Any], is_retried: bool
) -> None:
    retry_if = first_step(call).retry_if
    assert retry_if is (was_lost if is_retried else was_not_sent)
    assert retry_if(FAILED) is is_retried
    assert retry_if(httpx.ConnectError("refused")), "nothing was sent"


def test_submit_streams_a_header_and_a_brief_per_line() -> None:
    request = request_of(STEPS.submit(HEADER, BRIEFS, idempotency_key="mine"))
    assert request.headers["Idempotency-Key"] == "mine"
    assert callable(request.body)
    lines = b"".join(request.body()).splitlines()
    assert JobHeader.model_validate_json(lines[0]) == HEADER
    assert [Brief.model_validate_json(line) for line in lines[1:]] == BRIEFS
    assert b"".join(request.body()).count(b"\n") == 4, "the body can be sent again"


def test_submit_sends_blocks_of_bounded_size() -> None:
    def many() -> Iterator[Brief]:
        yield from (Brief(prompt="x" * 1000, duration=10) for _ in range(300))

    request = request_of(STEPS.submit(HEADER, many()))
    assert callable(request.body)
    sizes = [len(block) for block in request.body()]
    assert len(sizes) > 3
    assert max(sizes) < 70_000


def test_submit_makes_a_key_for_each_call() -> None:
    keys = {request_of(STEPS.submit(HEADER, BRIEFS)).headers["Idempotency-Key"] for _ in range(9)}
    assert len(keys) == 9


def test_is_healthy_is_asked_once_without_the_api_prefix() -> None:
    step = first_step(STEPS.is_healthy())
    assert step.request.url == "/healthz"
    assert not step.retry_if(httpx.ConnectError("refused"))
