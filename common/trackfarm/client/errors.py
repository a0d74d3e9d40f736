"""Errors of calls to the farm, and the rules for which of them are retried."""

from typing import Any

import httpx
from pydantic import ValidationError

from trackfarm.protocol.base import ProblemDetails

UNSERVED = frozenset({500, 502, 503, 504})
TOO_MANY = 429
MISTAKES_SHOWN = 5


class FarmError(Exception):
    """A failed call to the farm; the message says how to fix it."""


class UnsafeAddress(FarmError):
    """An address for which the API key would cross a network in clear text."""


class FarmUnreachable(FarmError):
    """No farm, or none that works, answers at `url`."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(
            f"no farm answers at {url} ({why}); start one with `trackfarm up` or set TRACKFARM_URL"
        )
        self.url = url


class RequestRefused(FarmError):
    """A request that the farm understood and refused.

    `problem.errors` lists the mistakes, if any, each with its row and field where it has one.
    """

    def __init__(self, problem: ProblemDetails) -> None:
        lines = [f"  {mistake_line(mistake)}" for mistake in problem.errors[:MISTAKES_SHOWN]]
        if left_out := len(problem.errors) - len(lines):
            lines.append(f"  and {left_out:,} more in `problem.errors`")
        super().__init__("\n".join([problem.detail or problem.title, *lines]))
        self.problem = problem


class NotAFarm(FarmError):
    """A response that is not from trackfarm's API."""


class DownloadFailed(FarmError):
    """A download that failed or had the wrong digest; no partial file was left behind."""


class RetryableResponse(Exception):
    """A retryable response; `seconds` is its Retry-After, None if it has none."""

    def __init__(self, problem: ProblemDetails, seconds: float | None) -> None:
        super().__init__(problem.detail or problem.title)
        self.problem = problem
        self.seconds = seconds


class FarmBusy(RetryableResponse):
    """The farm is busy and did nothing: any call may be retried."""


class ServerError(RetryableResponse):
    """The farm, or a proxy in front of it, failed; it is unknown whether anything was done."""


def is_temporary(error: FarmError) -> bool:
    """Return True for temporary failures: unreachable, 5xx, 429."""
    if isinstance(error, RequestRefused):
        return error.problem.status == TOO_MANY or error.problem.status >= 500
    return isinstance(error, FarmUnreachable)


def mistake_line(mistake: dict[str, Any]) -> str:
    """Return one entry of a refusal's `errors` as text."""
    return ", ".join(f"{name}: {value}" for name, value in mistake.items())


def require_success(response: httpx.Response) -> httpx.Response:
    """Return the response if it is a success. Raises RequestRefused, FarmBusy or ServerError."""
    if response.is_success:
        return response
    problem, retry_after = _problem(response), response.headers.get("Retry-After", "")
    seconds = float(retry_after) if retry_after.isdecimal() else None  # a date is ignored
    if response.status_code in UNSERVED:
        raise ServerError(problem, seconds)
    if response.status_code == TOO_MANY or (response.status_code == 409 and seconds is not None):
        raise FarmBusy(problem, seconds)
    raise RequestRefused(problem)


def _problem(response: httpx.Response) -> ProblemDetails:
    try:
        return ProblemDetails.model_validate_json(response.content)
    except ValidationError:  # a proxy's own page
        title = f"{response.status_code} {response.reason_phrase}"
        return ProblemDetails(title=title, status=response.status_code, detail=response.text[:300])


def was_lost(error: BaseException) -> bool:
    """Return True for failures after which a call that may run twice is retried."""
    return isinstance(error, (httpx.TransportError, ServerError))


def was_not_sent(error: BaseException) -> bool:
    """Return True for failures after which a call that must not run twice is retried."""
    return isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout))
