"""Receiver of webhooks on loopback with configurable responses."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(slots=True)
class Received:
    """One request; `headers` with names in lower case."""

    headers: dict[str, str]
    body: bytes

    @property
    def said(self) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self.body)
        return said


@dataclass(slots=True)
class Receiver:
    """Receiver of webhooks. `failing`: statuses to return first, one per request; then `status`.
    `held`: requests wait while it is clear."""

    url: str
    status: int = 204
    failing: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    held: threading.Event = field(default_factory=threading.Event)
    got: list[Received] = field(default_factory=list)
    refused: list[Received] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.held.set()

    def take(self, received: Received) -> int:
        self.held.wait(30)
        if self.failing:
            self.refused.append(received)
            return self.failing.pop(0)
        self.got.append(received)
        return self.status

    def types(self) -> Counter[str]:
        return Counter(received.said["type"] for received in self.got)


@contextmanager
def receiving() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = receiver.take(Received(headers, self.rfile.read(length)))
            self.send_response(status)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}/hook")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.held.set()
        server.shutdown()
        thread.join()
        server.server_close()
