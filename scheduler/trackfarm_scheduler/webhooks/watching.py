"""Cuts the connection of a send that takes too long: a timeout bounds each wait for the network, and
a receiver that gives a byte at a time never meets one."""

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import httpx

_BEGINS, _MADE = "connection.connect_tcp.started", "connection.connect_tcp.complete"


class Cut(httpx.TransportError):
    """The send was cut before it was connected."""


class Line:
    """The connection of one send. `cut` may be called by any thread, at any time."""

    def __init__(self) -> None:
        self.why_cut = ""
        self._socket: socket.socket | None = None
        self._guard = threading.Lock()

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """What httpcore tells of the send. Raises Cut rather than connect once more."""
        if event == _BEGINS and self.why_cut:
            raise Cut(self.why_cut)
        if event == _MADE:
            self._hold(info["return_value"].get_extra_info("socket"))

    def cut(self, why: str) -> None:
        """Wakes whoever waits for the receiver; only the first `why` is kept."""
        with self._guard:
            self.why_cut = self.why_cut or why
            self._shut()

    def forget(self) -> None:
        with self._guard:
            if self._socket is not None:
                self._socket.close()
            self._socket = None

    def _hold(self, connection: socket.socket) -> None:
        """Of our own, since TLS takes the other one over before its handshake."""
        self.forget()
        with self._guard:
            self._socket = connection.dup()
            if self.why_cut:
                self._shut()

    def _shut(self) -> None:
        if self._socket is not None:
            with suppress(OSError):  # the receiver was faster
                self._socket.shutdown(socket.SHUT_RDWR)


class Watch:
    """Over all sends of a process: none takes longer than `seconds`, from its name's resolution on,
    but for what the system takes to resolve it. Thread-safe."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lines: set[Line] = set()
        self._closed = ""
        self._guard = threading.Lock()

    @contextmanager
    def line(self) -> Iterator[Line]:
        line = Line()
        with self._guard:
            self._lines.add(line)
            if self._closed:
                line.cut(self._closed)
        timer = threading.Timer(self._seconds, line.cut, [f"no answer within {self._seconds:g} s"])
        timer.daemon = True
        timer.start()
        try:
            yield line
        finally:
            timer.cancel()
            with self._guard:
                self._lines.discard(line)
            line.forget()

    def close(self) -> None:
        """Cuts all that are on their way, and whatever begins later."""
        with self._guard:
            self._closed = "the scheduler was stopped"
            for line in self._lines:
                line.cut(self._closed)
