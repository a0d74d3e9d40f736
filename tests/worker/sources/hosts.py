"""Untrusted web server: good files, and every way in which a download can fail."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.scripted_http import QuietHandler, http_server
from trackfarm.net.ssrf import EgressPolicy

DRIP_SECONDS = 0.05
LOOPBACK = EgressPolicy(ports=(), networks=("127.0.0.0/8",))


class SourceHost:
    """Running server. `url` ends with a slash; `requests` has the paths in order."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[str] = []
        self.closing = threading.Event()


Behaviour = Callable[["_Handler"], None]


class _Handler(QuietHandler):
    host: SourceHost
    folder: Path

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].lstrip("/")
        self.host.requests.append(path)
        behaviour = BEHAVIOURS.get(path)
        if behaviour is not None:
            behaviour(self)
        elif (self.folder / path).is_file():
            self.answer(200, (self.folder / path).read_bytes())
        else:
            self.answer(404, b"nothing here")

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


def _endless(handler: _Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while not handler.host.closing.is_set():
        handler.wfile.write(bytes(1 << 20))


def _endless_redirect(handler: _Handler) -> None:
    handler.send_response(302)
    handler.send_header("Location", "/good.flac")
    handler.end_headers()
    while not handler.host.closing.is_set():
        handler.wfile.write(bytes(1 << 16))


def _drip(handler: _Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while not handler.host.closing.wait(DRIP_SECONDS):
        handler.wfile.write(b"x")


def _drip_headers(handler: _Handler) -> None:
    handler.wfile.write(b"HTTP/1.0 200 OK\r\nX-Long: ")
    while not handler.host.closing.wait(DRIP_SECONDS):
        handler.wfile.write(b"x")


def _silent(handler: _Handler) -> None:
    handler.host.closing.wait()


def _redirect_to(location: str) -> Behaviour:
    return lambda handler: handler.answer(302, Location=location)


def _claims(length: int, body: bytes = b"x" * 100) -> Behaviour:
    return lambda handler: handler.answer(200, body, Content_Length=str(length))


def _hiccup(handler: _Handler) -> None:
    """Fail the first request and serve the second."""
    if handler.host.requests.count("hiccup") < 2:
        handler.answer(503)
    else:
        handler.answer(200, (handler.folder / "good.flac").read_bytes())


BEHAVIOURS: dict[str, Behaviour] = {
    "endless": _endless,
    "endless-redirect": _endless_redirect,
    "drip": _drip,
    "drip-headers": _drip_headers,
    "silent": _silent,
    "loop": _redirect_to("/loop"),
    "to-good": _redirect_to("/good.flac"),
    "to-file": _redirect_to("file:///etc/passwd"),
    "unwell": lambda handler: handler.answer(503, b"later"),
    "hiccup": _hiccup,
    "forbidden": lambda handler: handler.answer(403),
    "no-content": lambda handler: handler.answer(204),
    "claims-200-mb": _claims(200_000_000),
    "claims-too-much": _claims(1_000),
    "page": lambda handler: handler.answer(
        200, b"<html>sign in</html>", Content_Type="text/html; charset=utf-8"
    ),
    "gzipped": lambda handler: handler.answer(
        200, (handler.folder / "bomb.mp3").read_bytes(), Content_Encoding="gzip"
    ),
}


@contextmanager
def serve_folder(folder: Path) -> Iterator[SourceHost]:
    """Serve the files of `folder`, and BEHAVIOURS, on a free port of 127.0.0.1."""
    host = SourceHost("")
    handler = type("Handler", (_Handler,), {"host": host, "folder": folder})
    with http_server(handler) as url:
        host.url = f"{url}/"
        try:
            yield host
        finally:
            host.closing.set()
