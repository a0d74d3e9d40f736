"""Server process: the web server and the background loops.

HTTP connections with time limits: uvicorn itself bounds neither the time for a request's head
nor pauses within its body.
"""

import asyncio
import gc
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterable
from enum import Enum, auto
from typing import Any, ClassVar

import structlog
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from trackfarm_scheduler.loop import Loop
from trackfarm_scheduler.services import Services
from trackfarm_scheduler.web import build_app

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


log = structlog.get_logger("trackfarm_scheduler")
GARBAGE = 20_000  # new objects between two garbage collections; default 700
DESCRIPTORS = 65_536
SWITCH_SECONDS = 0.0005  # so that a thread with a database result runs soon; default 0.005
KEEP_ALIVE_SECONDS = 75  # longer than many heartbeats, so that a worker keeps its connection


def serve(farm: Services, loops: list[Loop]) -> None:
    """Run until TERM or Ctrl-C, then exit the process with code 0 after everything is closed."""
    _allow_many_connections()
    # uvicorn re-raises the signal that ended it, which by default would skip the shutdown below.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    app = build_app(farm)
    server = _Server(_config(farm, app))
    # Objects built so far live as long as the process, so the collector can skip them; the garbage
    # of a request is rarely a cycle.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE)
    sys.setswitchinterval(SWITCH_SECONDS)
    for loop in loops:
        loop.start()
    log.info("scheduler_ready", url=farm.settings.own_url)
    try:
        server.run()
    finally:
        parts = [loop.stop for loop in loops] + [farm.broker.close]
        if farm.users is not None:
            parts.append(farm.users.close)
        end_each([*parts, farm.database.close])
        log.info("scheduler_stopped")


def end_each(parts: Iterable[Callable[[], None]]) -> None:
    """Run all shutdown steps; one that fails is logged and does not stop the others."""
    for end in parts:
        try:
            end()
        except Exception:
            log.exception("shutdown_step_failed", part=getattr(end, "__qualname__", repr(end)))


class _Server(uvicorn.Server):
    """uvicorn server that ends the event streams before it waits for open responses."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.config.app.state.studio.close()  # type: ignore[union-attr]
        await super().shutdown(sockets)


def _config(farm: Services, app: FastAPI) -> uvicorn.Config:
    settings = farm.settings
    return uvicorn.Config(
        app,
        http=patient_protocol(
            head_seconds=settings.head_seconds, body_seconds=settings.body_seconds
        ),
        ws="none",
        server_header=False,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=3,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
    )


def _allow_many_connections() -> None:
    """Raise the limit of open files: a thousand workers plus as many other clients exceed the usual
    1024."""
    soft_limit, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard_limit == resource.RLIM_INFINITY else min(hard_limit, DESCRIPTORS)
    if soft_limit < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard_limit))
