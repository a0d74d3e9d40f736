"""How a call to the farm may end without its answer, and which endings are worth another try."""

from typing import TYPE_CHECKING

import httpx
from pydantic import ValidationError

if TYPE_CHECKING:
    from trackfarm.wire import Problem

TRANSIENT_STATUS = frozenset({502, 503, 504})


class FarmError(Exception):
    """A call to the farm did not give its answer."""


class FarmUnreachable(FarmError):
    """Nobody, or nobody able to work, answers at `url`."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(
            f"no farm answers at {url} ({why}); start one with `trackfarm up` or set TRACKFARM_URL"
        )
        self.url = url


class Refused(FarmError):
    """The farm understood and said no; `problem.errors` lists the mistakes, if it named any."""

    def __init__(self, problem: "Problem") -> None:
        super().__init__(problem.detail or problem.title)
        self.problem = problem


class NotAFarm(FarmError):
    """Something answers, but not with what trackfarm says."""


class Unavailable(Exception):
    def __init__(self, status: int) -> None:
        self.status = status


def checked(response: httpx.Response) -> httpx.Response:
    if response.is_success:
        return response
    if response.status_code in TRANSIENT_STATUS:
        raise Unavailable(response.status_code)
    raise Refused(_problem(response))


def _problem(response: httpx.Response) -> "Problem":
    from trackfarm.wire import Problem  # heavy, and needed only when something went wrong

    try:
        return Problem.model_validate_json(response.content)
    except ValidationError:  # a proxy's own page
        title = f"{response.status_code} {response.reason_phrase}"
        return Problem(title=title, status=response.status_code, detail=response.text[:300])


def lost(error: BaseException) -> bool:
    return isinstance(error, (httpx.TransportError, Unavailable))


def never_sent(error: BaseException) -> bool:
    return isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout))
