"""HTTP connections with time limits: uvicorn itself bounds neither the time for a request's head
nor pauses within its body."""

import asyncio
from enum import Enum, auto
from typing import Any, ClassVar

from uvicorn.protocols.http.auto import AutoHTTPProtocol

LEAST_BODY_BYTES = 1024  # per wait, so that one byte at a time does not count as progress
HEAD_BYTES = 64 * 1024  # same as the limit of h11; httptools has none
UNWANTED_BYTES = 2**20  # limit of a body that was answered before its end
_Base: Any = AutoHTTPProtocol  # uses h11 or httptools, whichever is installed


class _Awaited(Enum):
    NOTHING = auto()
    HEAD = auto()
    BODY = auto()
    UNWANTED = auto()


_MOST_BYTES = {_Awaited.HEAD: HEAD_BYTES, _Awaited.UNWANTED: UNWANTED_BYTES}


def patient_protocol(*, head_seconds: float, body_seconds: float) -> type[asyncio.Protocol]:
    """Return the protocol class for uvicorn. A connection is closed when a head is not complete
    `head_seconds` after the connection or the head began, and when less than 1 KiB of a body
    arrives in `body_seconds` during which we wanted to read."""

    class Patient(PatientProtocol):
        patience: ClassVar = {
            _Awaited.HEAD: head_seconds,
            _Awaited.BODY: body_seconds,
            _Awaited.UNWANTED: body_seconds,
        }

    return Patient


class PatientProtocol(_Base):  # type: ignore[misc]
    """HTTP protocol with timeouts. A request that arrives whole, as nearly all do, costs two
    comparisons and no timer."""

    patience: ClassVar[dict[_Awaited, float]]
    _awaited = _Awaited.NOTHING
    _timer: asyncio.TimerHandle | None = None
    _came = 0

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._await(_Awaited.HEAD)

    def connection_lost(self, error: Exception | None) -> None:
        self._await(_Awaited.NOTHING)
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        awaited = self._what_is_missing()
        if awaited is not self._awaited:
            self._await(awaited)
        if awaited is not _Awaited.NOTHING:
            self._count(awaited, len(data))

    def _what_is_missing(self) -> _Awaited:
        cycle = self.cycle
        if cycle is None:
            return _Awaited.HEAD
        if not cycle.response_complete:
            return _Awaited.BODY if cycle.more_body else _Awaited.NOTHING
        return _Awaited.UNWANTED if cycle.more_body else _Awaited.HEAD

    def _count(self, awaited: _Awaited, size: int) -> None:
        self._came += size
        if self._came > _MOST_BYTES.get(awaited, self._came):
            self.transport.close()
        elif awaited is _Awaited.BODY and self._came >= LEAST_BODY_BYTES:
            self._await(awaited)

    def _await(self, awaited: _Awaited) -> None:
        self._awaited, self._came = awaited, 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if awaited is not _Awaited.NOTHING:
            self._timer = self.loop.call_later(self.patience[awaited], self._waited)

    def _waited(self) -> None:
        self._timer = None
        awaited = self._what_is_missing()
        if self.transport.is_closing() or awaited is _Awaited.NOTHING:
            return
        if awaited is _Awaited.BODY and self.flow.read_paused:
            self._await(awaited)  # the application is not reading, so the client is not to blame
        elif self._awaited is not _Awaited.NOTHING:
            self.transport.close()
