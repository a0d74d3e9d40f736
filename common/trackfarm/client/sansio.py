"""The steps of a call as values (pure); a driver executes them.

So a call is written once. `SyncDriver` drives it in the caller's thread, `AsyncDriver` in an event
loop, and another call by `yield from`.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import httpx

Value = TypeVar("Value")
RetryRule = Callable[[BaseException], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An HTTP request.

    `url` is a path at the farm, or else a signed URL, which must not see the API key. `body` is
    iterated once per attempt.
    """

    method: str
    url: str
    params: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Callable[[], Iterable[bytes]] | None = None
    timeout: httpx.Timeout | None = None

    @property
    def is_signed(self) -> bool:
        return not self.url.startswith("/")


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request and return the response; retry after failures for which `retry_if` is true."""

    request: Request
    retry_if: RetryRule


@dataclass(frozen=True, slots=True)
class Save:
    """Download a signed URL into a new file; return its SHA-256 in hexadecimal.

    Raises DownloadFailed and OSError, and then leaves the partial file.
    """

    url: str
    path: Path


@dataclass(frozen=True, slots=True)
class OpenStream:
    """Open an endless response and return its first line. Closes the stream open before."""

    request: Request


@dataclass(frozen=True, slots=True)
class ReadLine:
    """Read the next line of the open stream; None at its end."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait for `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class RunInThread:
    """Call `function` and return its result; it may use the disk or a CPU for a while."""

    function: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Gather:
    """Run several calls, `at_once` at a time, and return their results in order."""

    calls: "Iterable[Steps[Any]]"
    at_once: int


@dataclass(frozen=True, slots=True)
class Item(Generic[Value]):
    """One item of a stream, for its consumer."""

    value: Value


Step = Send | Save | OpenStream | ReadLine | Pause | RunInThread | Gather
Steps = Generator[Step, Any, Value]
Stream = Generator[Step | Item[Value], Any, None]


@dataclass(frozen=True, slots=True)
class StepDone:
    """The result of a step."""

    result: Any


@dataclass(frozen=True, slots=True)
class StepFailed:
    """The error of a step."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Returned(Generic[Value]):
    """The result of a finished call."""

    value: Value


Outcome = StepDone | StepFailed
_Step = TypeVar("_Step")


def advance(
    call: Generator[_Step, Any, Value], outcome: Outcome = StepDone(None)
) -> _Step | Returned[Value]:
    """Pass the outcome of the last step to the call; return its next step or its result."""
    try:
        match outcome:
            case StepDone(result):
                return call.send(result)
            case StepFailed(error):
                return call.throw(error)
    except StopIteration as end:
        return Returned(end.value)


def each(items: Stream[Value], take: Callable[[Value], object]) -> Steps[None]:
    """Call `take` with each item of a stream."""
    step = advance(items)
    while not isinstance(step, Returned):
        if isinstance(step, Item):
            take(step.value)
            outcome: Outcome = StepDone(None)
        else:
            try:
                outcome = StepDone((yield step))
            except Exception as error:  # noqa: BLE001 (passed on to the other call)
                outcome = StepFailed(error)
        step = advance(items, outcome)


def blocks_of(request: Request) -> bytes | Iterator[bytes] | None:
    """Return the body for one attempt."""
    body = request.body
    return iter(body()) if callable(body) else body
