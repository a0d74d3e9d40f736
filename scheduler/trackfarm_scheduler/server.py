"""Server process: the web server with time limits for slow clients, and the background loops."""

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

GARBAGE = 20_000  # new objects between two garbage collections; default 700
DESCRIPTORS = 65_536
SWITCH_SECONDS = 0.0005  # so that a thread with a database result runs soon; default 0.005
KEEP_ALIVE_SECONDS = 75  # longer than many heartbeats, so that a worker keeps its connection
MIN_BODY_BYTES = 1024  # per wait, so that one byte at a time does not count as progress
HEAD_BYTES = 64 * 1024  # same as the limit of h11; httptools has none
DISCARDED_BYTES = 2**20  # limit of a body that was answered before its end
log = structlog.get_logger("trackfarm_scheduler")
_Base: Any = AutoHTTPProtocol  # uses h11 or httptools, whichever is installed


def serve(services: Services, loops: list[Loop]) -> None:
    """Run until TERM or Ctrl-C, then exit the process with code 0 after everything is closed."""
    _allow_many_connections()
    # uvicorn re-raises the signal that ended it, which by default would skip the shutdown below.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    app = build_app(services)
    server = _Server(_config(services, app))
    # Objects built so far live as long as the process, so the collector can skip them; the garbage
    # of a request is rarely a cycle.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE)
    sys.setswitchinterval(SWITCH_SECONDS)
    for loop in loops:
        loop.start()
    log.info("scheduler_ready", url=services.settings.own_url)
    try:
        server.run()
    finally:
        steps = [loop.stop for loop in loops] + [services.broker.close]
        if services.users is not None:
            steps.append(services.users.close)
        run_shutdown_steps([*steps, services.database.close])
        log.info("scheduler_stopped")


def run_shutdown_steps(steps: Iterable[Callable[[], None]]) -> None:
    """Run all steps; one that fails is logged and does not stop the others."""
    for step in steps:
        try:
            step()
        except Exception:
            log.exception("shutdown_step_failed", step=getattr(step, "__qualname__", repr(step)))


class _Server(uvicorn.Server):
    """uvicorn server that ends the event streams before it waits for open responses."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.config.app.state.broadcaster.close()  # type: ignore[union-attr]
        await super().shutdown(sockets)


def _config(services: Services, app: FastAPI) -> uvicorn.Config:
    settings = services.settings
    return uvicorn.Config(
        app,
        http=protocol_with_timeouts(
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


class _Phase(Enum):
    """Part of a connection: waiting for a head, for a body, for the rest of a body that was
    answered early (DISCARDED), or for nothing from the client."""

    IDLE = auto()
    HEAD = auto()
    BODY = auto()
    DISCARDED = auto()


_MAX_BYTES = {_Phase.HEAD: HEAD_BYTES, _Phase.DISCARDED: DISCARDED_BYTES}


def protocol_with_timeouts(*, head_seconds: float, body_seconds: float) -> type[asyncio.Protocol]:
    """Return the protocol class for uvicorn, which itself bounds neither the time for a request's
    head nor pauses within its body.

    A connection is closed when a head is not complete `head_seconds` after the connection or the
    head began, and when less than 1 KiB of a body arrives in `body_seconds` during which we wanted
    to read.
    """

    class ConfiguredProtocol(TimeoutProtocol):
        timeouts: ClassVar = {
            _Phase.HEAD: head_seconds,
            _Phase.BODY: body_seconds,
            _Phase.DISCARDED: body_seconds,
        }

    return ConfiguredProtocol


class TimeoutProtocol(_Base):  # type: ignore[misc]
    """HTTP protocol with timeouts. A request that arrives whole, as nearly all do, costs two
    comparisons and no timer."""

    timeouts: ClassVar[dict[_Phase, float]]
    _phase = _Phase.IDLE
    _timer: asyncio.TimerHandle | None = None
    _received_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._enter(_Phase.HEAD)

    def connection_lost(self, error: Exception | None) -> None:
        self._enter(_Phase.IDLE)
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        phase = self._current_phase()
        if phase is not self._phase:
            self._enter(phase)
        if phase is not _Phase.IDLE:
            self._count(phase, len(data))

    def _current_phase(self) -> _Phase:
        cycle = self.cycle
        if cycle is None:
            return _Phase.HEAD
        if not cycle.response_complete:
            return _Phase.BODY if cycle.more_body else _Phase.IDLE
        return _Phase.DISCARDED if cycle.more_body else _Phase.HEAD

    def _count(self, phase: _Phase, size: int) -> None:
        self._received_bytes += size
        if self._received_bytes > _MAX_BYTES.get(phase, self._received_bytes):
            self.transport.close()
        elif phase is _Phase.BODY and self._received_bytes >= MIN_BODY_BYTES:
            self._enter(phase)

    def _enter(self, phase: _Phase) -> None:
        """Start a phase, or the same one again, with its full timeout."""
        self._phase, self._received_bytes = phase, 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if phase is not _Phase.IDLE:
            self._timer = self.loop.call_later(self.timeouts[phase], self._time_out)

    def _time_out(self) -> None:
        self._timer = None
        phase = self._current_phase()
        if self.transport.is_closing() or phase is _Phase.IDLE:
            return
        if phase is _Phase.BODY and self.flow.read_paused:
            self._enter(phase)  # the application is not reading, so the client is not to blame
        elif self._phase is not _Phase.IDLE:
            self.transport.close()
