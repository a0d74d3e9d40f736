"""An HTTP server in a thread of the test's process: it answers as told and remembers the requests."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class ReceivedRequest:
    """A request; `path` is without the query, the names of `headers` are in lower case."""

    method: str
    path: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @cached_property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """A response. `body` is sent as it is if it is bytes, as plain text if it is text, else as JSON.

    `status` 0 closes the connection without a response.
    """

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def encoded(self) -> tuple[Mapping[str, str], bytes]:
        """Return the headers, with a content type where one is known, and the bytes of the body."""
        match self.body:
            case None:
                return self.headers, b""
            case bytes(content):
                return self.headers, content
            case str(text):
                return {**self.headers, "Content-Type": "text/plain"}, text.encode()
        is_problem = self.status >= 400 and "title" in self.body
        content_type = "application/problem+json" if is_problem else "application/json"
        return {**self.headers, "Content-Type": content_type}, json.dumps(self.body).encode()


ReplyFunction = Callable[[ReceivedRequest], Reply]


class ScriptedServer:
    """A running server. `reply` may be replaced at any time; `requests` are in order."""

    def __init__(self, reply: ReplyFunction) -> None:
        self.url = ""
        self.reply = reply
        self.requests: list[ReceivedRequest] = []

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0

    def reply_with(self, *responses: Reply) -> None:
        """Give these responses in order, and then the last one for ever."""
        remaining = list(responses)
        self.reply = lambda _: remaining.pop(0) if len(remaining) > 1 else remaining[0]

    def paths(self) -> list[str]:
        return [request.path for request in self.requests]


@contextmanager
def scripted_server(
    reply: ReplyFunction = lambda _: Reply(body={}), address: str = "127.0.0.1"
) -> Iterator[ScriptedServer]:
    """Serve on a free port of a loopback address; requests are answered one at a time."""
    script = ScriptedServer(reply)
    one_at_a_time = threading.Lock()

    class ScriptHandler(QuietHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # else a body waits 40 ms for the acknowledgement of the headers

        def do_GET(self) -> None:
            request = received(self)
            with one_at_a_time:
                script.requests.append(request)
                response = script.reply(request)
            if not response.status:
                self.close_connection = True
                return
            headers, content = response.encoded()
            self.send_response(response.status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_PUT = do_DELETE = do_PATCH = do_GET

    with http_server(ScriptHandler, address) as script.url:
        yield script


def received(handler: BaseHTTPRequestHandler) -> ReceivedRequest:
    """Read the request that a handler was called for."""
    url = urlsplit(handler.path)
    headers = {name.lower(): value for name, value in handler.headers.items()}
    body = handler.rfile.read(int(headers.get("content-length", 0)))
    return ReceivedRequest(handler.command, url.path, dict(parse_qsl(url.query)), headers, body)


class QuietHandler(BaseHTTPRequestHandler):
    """A request handler that logs nothing."""

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


class QuietServer(ThreadingHTTPServer):
    """A server that prints no errors: some clients of tests hang up."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing."""


@contextmanager
def http_server(handler: type[BaseHTTPRequestHandler], address: str = "127.0.0.1") -> Iterator[str]:
    """Serve with the handler on a free port until the block ends; yield the URL, without a slash."""
    server = QuietServer((address, 0), handler)
    # Its default poll_interval of 0.5 s is how long each test would wait at its end.
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://{address}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
