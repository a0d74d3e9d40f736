"""HTTP calls to providers: rate limited, retried where safe, with secrets removed from errors; and
repeatable create calls for providers without idempotency keys."""

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import TypeVar

import httpx
from pydantic import BaseModel, SecretStr, ValidationError
from tenacity import RetryCallState, Retrying, retry_if_result, stop_after_attempt
from tenacity.wait import wait_random_exponential

from trackfarm_fleet.providers.base import (
    AuthFailed,
    BadRequest,
    Instance,
    InstanceState,
    NotFound,
    OutOfCredit,
    ProviderError,
    RateLimited,
    Unavailable,
)

Body = TypeVar("Body", bound=BaseModel)
Judge = Callable[[httpx.Response], ProviderError | None]
Lister = Callable[[], Sequence[Instance] | ProviderError]

TIMEOUT = httpx.Timeout(30.0, connect=5.0)
ATTEMPTS = 4
MAX_WAIT_S = 60.0  # the vendors' own clients wait this long for a Retry-After
DEFAULT_WAIT_S = 5.0  # for a 429 without Retry-After
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_QUOTA = re.compile(r'"[^"]*"\s*;\s*r=(\d+)\s*;\s*t=(\d+)')


@dataclass(frozen=True, slots=True)
class ProviderCall:
    """One request. `interval_seconds` is the least time between two calls of one `endpoint`.
    `repeatable`: it may be sent again even if it may have been executed."""

    method: str
    path: str
    endpoint: str
    interval_seconds: float = 0.0
    params: Mapping[str, str] | None = None
    body: BaseModel | None = None
    repeatable: bool = True
    hidden: tuple[SecretStr, ...] = ()


class Api:
    """An account's calls, made one after the other. `now` and `sleep` in seconds."""

    def __init__(
        self,
        url: str,
        key: SecretStr,
        *,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._key = key
        self._now = now
        self._sleep = sleep
        self._not_before: dict[str, float] = {}
        self._http = httpx.Client(
            base_url=url.rstrip("/"),
            headers={"Authorization": f"Bearer {key.get_secret_value()}"},
            timeout=TIMEOUT,
        )

    def close(self) -> None:
        self._http.close()

    def call(self, call: ProviderCall, *, judge: Judge) -> httpx.Response | ProviderError:
        """Return the response, or the error from `judge` or the transport after the retries."""
        retrying = Retrying(
            retry=retry_if_result(lambda result: _may_repeat(call, result)),
            stop=stop_after_attempt(ATTEMPTS),
            wait=_wait,
            sleep=self._sleep,
            retry_error_callback=_last_result,
        )
        result = retrying(self._once, call, judge)
        return _scrubbed(result, (self._key, *call.hidden))

    def _once(self, call: ProviderCall, judge: Judge) -> httpx.Response | ProviderError:
        self._keep_pace(call)
        try:
            response = self._http.request(
                call.method,
                call.path,
                params=call.params,
                content=call.body.model_dump_json(exclude_none=True) if call.body else None,
                headers={"Content-Type": "application/json"} if call.body else None,
            )
        except httpx.RequestError as error:
            may_have_run = not isinstance(error, _NEVER_SENT)
            return Unavailable(f"{type(error).__name__}: {error}", may_have_run=may_have_run)
        pause = quota_reset_seconds(response.headers.get("RateLimit", ""))
        if pause:
            self._not_before[""] = self._now() + pause
        return judge(response) or response

    def _keep_pace(self, call: ProviderCall) -> None:
        earliest = (self._not_before.get("", 0.0), self._not_before.get(call.endpoint, 0.0))
        wait = min(max(earliest) - self._now(), MAX_WAIT_S)
        if wait > 0:
            self._sleep(wait)
        self._not_before[call.endpoint] = self._now() + call.interval_seconds


def read(response: httpx.Response | ProviderError, kind: type[Body]) -> Body | ProviderError:
    """Parse the body of a response; an invalid one counts as a broken provider."""
    if isinstance(response, ProviderError):
        return response
    try:
        return kind.model_validate_json(response.content)
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, e["loc"])) for e in error.errors(include_input=False))
        return Unavailable(f"invalid response: {fields or 'no JSON'}")


def common_error(response: httpx.Response, detail: str) -> ProviderError | None:
    """Map a status without special meaning to an error; None for a success."""
    match response.status_code:
        case 401 | 403:
            return AuthFailed(detail)
        case 402:
            return OutOfCredit(detail)
        case 404 | 410:
            return NotFound(detail)
        case 409:
            return Unavailable(detail, may_have_run=False)
        case 429:
            return RateLimited(detail, retry_after_seconds(response.headers.get("Retry-After", "")))
        case status if status >= 500:
            return Unavailable(detail)
        case status if status >= 300:
            return BadRequest(detail)
    return None


def retry_after_seconds(header: str) -> float:
    """Return the seconds in a Retry-After header, at least one; a date counts from now."""
    try:
        return max(float(header), 1.0)
    except ValueError:
        pass
    try:
        return max(parsedate_to_datetime(header).timestamp() - time.time(), 1.0)
    except ValueError:
        return DEFAULT_WAIT_S


def quota_reset_seconds(header: str) -> float:
    """Return the seconds until the last used-up quota of a RateLimit header is refilled."""
    return max(
        (float(t) for remaining, t in _QUOTA.findall(header) if remaining == "0"), default=0.0
    )


def _may_repeat(call: ProviderCall, result: httpx.Response | ProviderError) -> bool:
    match result:
        case RateLimited(retry_after=seconds):
            return seconds <= MAX_WAIT_S
        case Unavailable(may_have_run=may_have_run):
            return call.repeatable or not may_have_run
    return False


def _wait(state: RetryCallState) -> float:
    result = state.outcome.result() if state.outcome else None
    if isinstance(result, RateLimited):
        return result.retry_after
    return wait_random_exponential(multiplier=1, max=8)(state)


def _last_result(state: RetryCallState) -> httpx.Response | ProviderError:
    assert state.outcome is not None, "called before the first attempt"
    result: httpx.Response | ProviderError = state.outcome.result()
    return result


def _scrubbed(
    result: httpx.Response | ProviderError, hidden: Iterable[SecretStr]
) -> httpx.Response | ProviderError:
    """Remove secrets from errors, because providers quote the request in them."""
    if not isinstance(result, ProviderError):
        return result
    detail = result.detail
    for secret in hidden:
        if plain := secret.get_secret_value():
            detail = detail.replace(plain, "**********")
    return replace(result, detail=detail[:500])


def create_once(
    tag: str, *, attempt: Callable[[], Instance | ProviderError], listing: Lister
) -> Instance | ProviderError:
    """Return the machine that already has the tag, else the one that `attempt` makes; if its
    response was lost, look for the machine again."""
    existing = _tagged(tag, listing())
    if existing is not None:
        return existing
    answer = attempt()
    if not (isinstance(answer, Unavailable) and answer.may_have_run):
        return answer
    recovered = _tagged(tag, listing())
    return recovered if isinstance(recovered, Instance) else answer


def _tagged(
    tag: str, listed: Sequence[Instance] | ProviderError
) -> Instance | ProviderError | None:
    if isinstance(listed, ProviderError):
        return listed
    alive = [i for i in listed if i.tag == tag and i.state is not InstanceState.ENDED]
    return min(alive, key=lambda i: (i.created_at or 0.0, i.id), default=None)
