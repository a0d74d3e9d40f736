"""Server process: the web server and the background loops."""

import gc
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterable

import structlog
import uvicorn
from fastapi import FastAPI

from trackfarm_scheduler.api.app import build_app
from trackfarm_scheduler.connections import patient_protocol
from trackfarm_scheduler.farm import Farm
from trackfarm_scheduler.loops import Loop

log = structlog.get_logger("trackfarm_scheduler")
GARBAGE = 20_000  # new objects between two garbage collections; default 700
DESCRIPTORS = 65_536
SWITCH_SECONDS = 0.0005  # so that a thread with a database result runs soon; default 0.005
KEEP_ALIVE_SECONDS = 75  # longer than many heartbeats, so that a worker keeps its connection


def serve(farm: Farm, loops: list[Loop]) -> None:
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


def _config(farm: Farm, app: FastAPI) -> uvicorn.Config:
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
