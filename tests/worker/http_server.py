"""Small HTTP server with scripted responses that records its requests."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """Scripted response; `status` 0 closes the connection without one."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)


Reply = Callable[[Asked], Answer]


class Site:
    """Running server. `reply` may be changed at any time; `asked` has every request in order."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[Asked] = []
        self.reply: Reply = lambda _: Answer()

    def answers(self, *answers: Answer) -> None:
        """Respond with these in order, then with the last one for ever."""
        left = list(answers)
        self.reply = lambda _: left.pop(0) if len(left) > 1 else left[0]

    def paths(self) -> list[str]:
        return [asked.path for asked in self.asked]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore errors: these tests include clients that hang up."""


def _handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            asked = Asked(self.command, self.path, dict(self.headers), self.rfile.read(length))
            site.asked.append(asked)
            answer = site.reply(asked)
            if not answer.status:
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_PUT = do_GET = do_POST

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    return Handler


@contextmanager
def site() -> Iterator[Site]:
    """Serve on a free port of 127.0.0.1 until the block ends."""
    made = Site("")
    server = _Server(("127.0.0.1", 0), _handler(made))
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
