"""How a call to the farm may end without its answer, and which endings are worth another try."""

from typing import TYPE_CHECKING, Any

import httpx
from pydantic import ValidationError

if TYPE_CHECKING:
    from trackfarm.wire import Problem

UNSERVED = frozenset({500, 502, 503, 504})
TOO_MANY = 429
MISTAKES_SHOWN = 5


class FarmError(Exception):
    """A call to the farm did not give its answer; the message says what to do about it."""


class UnsafeAddress(FarmError):
    """The API key would cross a network in clear text."""


class FarmUnreachable(FarmError):
    """Nobody, or nobody able to work, answers at `url`."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(
            f"no farm answers at {url} ({why}); start one with `trackfarm up` or set TRACKFARM_URL"
        )
        self.url = url


class Refused(FarmError):
    """The farm understood and said no; `problem.errors` lists the mistakes, if it named any, each
    with its row and field where it has one."""

    def __init__(self, problem: "Problem") -> None:
        shown = [f"  {mistake_line(mistake)}" for mistake in problem.errors[:MISTAKES_SHOWN]]
        if left_out := len(problem.errors) - len(shown):
            shown.append(f"  and {left_out:,} more in `problem.errors`")
        super().__init__("\n".join([problem.detail or problem.title, *shown]))
        self.problem = problem


class NotAFarm(FarmError):
    """Something answers, but not with what trackfarm says."""


class DownloadFailed(FarmError):
    """A file could not be fetched whole and right; nothing was left behind."""


class Again(Exception):
    """An answer that may be another one soon, in `seconds` where it says so (Retry-After)."""

    def __init__(self, problem: "Problem", seconds: float | None) -> None:
        super().__init__(problem.detail or problem.title)
        self.problem = problem
        self.seconds = seconds


class Later(Again):
    """Not now, and nothing was done: any call may be repeated."""


class Unserved(Again):
    """The farm, or a proxy before it, failed; whether something was done is not known."""


def is_away(error: FarmError) -> bool:
    """Whether the farm may answer otherwise in a while: nobody answers, or it fails, or is busy."""
    if isinstance(error, Refused):
        return error.problem.status == TOO_MANY or error.problem.status >= 500
    return isinstance(error, FarmUnreachable)


def mistake_line(mistake: dict[str, Any]) -> str:
    """One entry of a refusal's `errors`."""
    return ", ".join(f"{name}: {value}" for name, value in mistake.items())


def checked(response: httpx.Response) -> httpx.Response:
    """The response of a call that was carried out. Raises Refused, Later, Unserved."""
    if response.is_success:
        return response
    problem, told = _problem(response), response.headers.get("Retry-After", "")
    seconds = float(told) if told.isdecimal() else None  # a date is met with patience instead
    if response.status_code in UNSERVED:
        raise Unserved(problem, seconds)
    if response.status_code == TOO_MANY or (response.status_code == 409 and seconds is not None):
        raise Later(problem, seconds)
    raise Refused(problem)


def _problem(response: httpx.Response) -> "Problem":
    from trackfarm.wire import Problem  # heavy, and needed only when something went wrong

    try:
        return Problem.model_validate_json(response.content)
    except ValidationError:  # a proxy's own page
        title = f"{response.status_code} {response.reason_phrase}"
        return Problem(title=title, status=response.status_code, detail=response.text[:300])


def lost(error: BaseException) -> bool:
    """Worth another try for a call that may be carried out twice."""
    return isinstance(error, (httpx.TransportError, Unserved))


def never_sent(error: BaseException) -> bool:
    """Worth another try for a call that must not be."""
    return isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout))
