"""Certificates for servers of tests, and TLS in front of one that has none."""

import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.servers.process import free_port
from trackfarm_scheduler.auth.ca import Authority
from trackfarm_scheduler.auth.ca_command import write

HOST = "localhost"
LIFETIME = timedelta(days=1)


@dataclass(frozen=True)
class Certificates:
    """PEM files. The server's certificate is for `localhost`, and not for its address."""

    authority: Path
    certificate: Path
    key: Path


def certificates(folder: Path, host: str = HOST) -> Certificates:
    """Create an authority and the certificate of one server."""
    now = datetime.now(UTC)
    authority = Authority.create("an authority of the tests", now=now, lifetime=LIFETIME)
    server = authority.server("a server of the tests", [host], now=now, lifetime=LIFETIME)
    write(folder, {"ca": authority.pem(), "server": server})
    return Certificates(folder / "ca.crt", folder / "server.crt", folder / "server.key")


@contextmanager
def behind_tls(port: int, files: Certificates) -> Iterator[int]:
    """Yield a port that speaks TLS and forwards to `port` of 127.0.0.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with (
                suppress(OSError),
                context.wrap_socket(self.request, server_side=True) as outside,
                socket.create_connection(("127.0.0.1", port)) as inside,
            ):
                back = threading.Thread(target=_forward, args=(inside, outside))
                back.start()
                _forward(outside, inside)
                back.join()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server(("127.0.0.1", tls_port := free_port()), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield tls_port
        finally:
            server.shutdown()
            thread.join()


def _forward(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
