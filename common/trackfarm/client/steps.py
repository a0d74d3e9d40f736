"""What a call wants done (pure): each step is a value, and whoever drives the call does it.

So a call is written once. `Blocking` drives it in the thread that asks, `Awaiting` in an event loop,
and another call by `yield from`.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import httpx

Value = TypeVar("Value")
Rule = Callable[[BaseException], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """`url` is a path at the farm, or else a signed address, which must not see the API key.
    `body` is gone through once for each try."""

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
    """Gives the response; after a failure that `repeat` allows it is sent again."""

    request: Request
    repeat: Rule


@dataclass(frozen=True, slots=True)
class Save:
    """Fetches what is at a signed address into a new file; gives its SHA-256 in hexadecimal.
    Raises DownloadFailed and OSError, and leaves what it has got."""

    url: str
    path: Path


@dataclass(frozen=True, slots=True)
class Listen:
    """Opens an answer that does not end; gives its first line. Closes what was open before."""

    request: Request


@dataclass(frozen=True, slots=True)
class Hear:
    """Gives the next line of what is open, None at its end."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Waits for `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Work:
    """Gives what `function` returns; it may use the disk or a processor for a while."""

    function: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Together:
    """Gives what several calls return, in their order, `at_once` of them at a time."""

    calls: "Iterable[Steps[Any]]"
    at_once: int


@dataclass(frozen=True, slots=True)
class Item(Generic[Value]):
    """One of many answers, for whoever goes through them."""

    value: Value


Step = Send | Save | Listen | Hear | Pause | Work | Together
Steps = Generator[Step, Any, Value]
Stream = Generator[Step | Item[Value], Any, None]


@dataclass(frozen=True, slots=True)
class Done:
    """A step gave its answer."""

    answer: Any


@dataclass(frozen=True, slots=True)
class Failed:
    """A step raised."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Returned(Generic[Value]):
    """The call is over."""

    value: Value


Outcome = Done | Failed
_Wish = TypeVar("_Wish")


def advance(
    call: Generator[_Wish, Any, Value], outcome: Outcome = Done(None)
) -> _Wish | Returned[Value]:
    """Tells the call what became of its last step; its next one, or its end."""
    try:
        match outcome:
            case Done(answer):
                return call.send(answer)
            case Failed(error):
                return call.throw(error)
    except StopIteration as end:
        return Returned(end.value)


def each(items: Stream[Value], take: Callable[[Value], object]) -> Steps[None]:
    """Goes through what another call gives one by one."""
    step = advance(items)
    while not isinstance(step, Returned):
        if isinstance(step, Item):
            take(step.value)
            outcome: Outcome = Done(None)
        else:
            try:
                outcome = Done((yield step))
            except Exception as error:  # noqa: BLE001 (the other call hears of it)
                outcome = Failed(error)
        step = advance(items, outcome)


def blocks_of(request: Request) -> bytes | Iterator[bytes] | None:
    """The body of one try."""
    body = request.body
    return iter(body()) if callable(body) else body
