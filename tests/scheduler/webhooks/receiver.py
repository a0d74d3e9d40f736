"""Receiver of webhooks on loopback with configurable responses."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.servers.scripted_http import QuietHandler, ReceivedRequest, http_server, received


@dataclass(slots=True)
class Receiver:
    """Receiver of webhooks. `failing`: statuses to return first, one per request; then `status`.
    `held`: requests wait while it is clear."""

    url: str
    status: int = 204
    failing: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    held: threading.Event = field(default_factory=threading.Event)
    received: list[ReceivedRequest] = field(default_factory=list)
    refused: list[ReceivedRequest] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.held.set()

    def take(self, request: ReceivedRequest) -> int:
        self.held.wait(30)
        if self.failing:
            self.refused.append(request)
            return self.failing.pop(0)
        self.received.append(request)
        return self.status

    def types(self) -> Counter[str]:
        return Counter(request.json["type"] for request in self.received)


@contextmanager
def receiving() -> Iterator[Receiver]:
    class Handler(QuietHandler):
        def do_POST(self) -> None:
            status = receiver.take(received(self))
            self.send_response(status)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", "0")
            self.end_headers()

    receiver = Receiver("")
    with http_server(Handler) as url:
        receiver.url = f"{url}/hook"
        try:
            yield receiver
        finally:
            receiver.held.set()
