"""A real HTTP server on a free port of 127.0.0.1 for the fakes, which only map requests to
responses."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """A response. `status` 0 closes the connection without a response. A `body` of text is sent as
    plain text."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def encoded(self) -> tuple[str, bytes]:
        if self.body is None:
            return "application/json", b""
        if isinstance(self.body, str):
            return "text/plain", self.body.encode()
        problem = self.status >= 400 and "title" in self.body
        kind = "application/problem+json" if problem else "application/json"
        return kind, json.dumps(self.body).encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore errors: these tests include clients that disconnect."""


def _handler(reply: Callable[[Asked], Answer]) -> type[BaseHTTPRequestHandler]:
    one_at_a_time = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # else a body waits 40 ms for the acknowledgement of the headers

        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            parts = urlsplit(self.path)
            params, body = dict(parse_qsl(parts.query)), self.rfile.read(length)
            with one_at_a_time:
                answer = reply(Asked(self.command, parts.path, params, dict(self.headers), body))
            if not answer.status:
                self.close_connection = True
                return
            kind, content = answer.encoded()
            self.send_response(answer.status)
            for name, value in {**answer.headers, "Content-Type": kind}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_PUT = do_DELETE = do_PATCH = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    return Handler


@contextmanager
def serving(reply: Callable[[Asked], Answer]) -> Iterator[str]:
    """Serve until the block ends; yield the base URL."""
    server = _Server(("127.0.0.1", 0), _handler(reply))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
