"""Deadline for sends: an HTTP timeout bounds each network operation, but never triggers for a
receiver that sends one byte at a time."""

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import httpx

_BEGINS, _MADE = "connection.connect_tcp.started", "connection.connect_tcp.complete"


class Cut(httpx.TransportError):
    """The send was aborted before it was connected."""


class Line:
    """Connection of one send. `cut` may be called from any thread, at any time."""

    def __init__(self) -> None:
        self.why_cut = ""
        self._socket: socket.socket | None = None
        self._guard = threading.Lock()

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Handle trace events of httpcore. Raises Cut instead of connecting again after an
        abort."""
        if event == _BEGINS and self.why_cut:
            raise Cut(self.why_cut)
        if event == _MADE:
            self._hold(info["return_value"].get_extra_info("socket"))

    def cut(self, why: str) -> None:
        """Abort the send and wake its thread; only the first `why` is kept."""
        with self._guard:
            self.why_cut = self.why_cut or why
            self._shut()

    def forget(self) -> None:
        with self._guard:
            if self._socket is not None:
                self._socket.close()
            self._socket = None

    def _hold(self, connection: socket.socket) -> None:
        """Keep a duplicate of the socket, since TLS takes over the original before its
        handshake."""
        self.forget()
        with self._guard:
            self._socket = connection.dup()
            if self.why_cut:
                self._shut()

    def _shut(self) -> None:
        if self._socket is not None:
            with suppress(OSError):  # the receiver has closed it already
                self._socket.shutdown(socket.SHUT_RDWR)


class Watch:
    """Deadline for all sends of a process: none takes longer than `seconds` from the start of name
    resolution, plus the time the system takes to resolve. Thread-safe."""

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
        """Abort all sends in progress, and all later ones."""
        with self._guard:
            self._closed = "the scheduler was stopped"
            for line in self._lines:
                line.cut(self._closed)
