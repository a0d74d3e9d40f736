"""Serves until told to stop: the web server and the loops beside it."""

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
GARBAGE = 20_000  # new objects between two looks of the collector; usually 700
DESCRIPTORS = 65_536
SWITCH_SECONDS = 0.0005  # a thread that hears from the database waits for a busy one; usually 0.005
KEEP_ALIVE_SECONDS = 75  # outlasts many heartbeats, so that a worker keeps its connection


def serve(farm: Farm, loops: list[Loop]) -> None:
    """Ends the process after TERM or Ctrl-C, with exit code 0, when everything is closed."""
    _allow_many_connections()
    # uvicorn raises the signal that ended it once more: by default nothing behind it would be closed.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    app = build_app(farm)
    server = _Server(_config(farm, app))
    # What was built so far lives as long as we do: the collector need not look at it again, and what
    # a request leaves behind is rarely a cycle.
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
    """One that fails to end is logged, and keeps no other from it."""
    for end in parts:
        try:
            end()
        except Exception:
            log.exception("part_did_not_end", part=getattr(end, "__qualname__", repr(end)))


class _Server(uvicorn.Server):
    """Ends the event streams before it waits for what is still being answered."""

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
    """A thousand workers, and as many who only connect, are more than the usual 1024."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if most == resource.RLIM_INFINITY else min(most, DESCRIPTORS)
    if now < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
