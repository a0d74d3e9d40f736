"""Raw HTTP requests that no client would send."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.end_to_end.farm import API_KEY, LocalFarm


@contextmanager
def connected(farm: LocalFarm) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", int(farm.url.rpartition(":")[2]))) as connection:
        connection.settimeout(15)
        yield connection


def exchanged(farm: LocalFarm, request: bytes) -> bytes:
    """Send these bytes and return the whole response, until the connection closes."""
    with connected(farm) as connection:
        connection.sendall(request)
        return received(connection)


def received(connection: socket.socket) -> bytes:
    response = b""
    try:
        while part := connection.recv(65_536):
            response += part
    except ConnectionResetError:
        pass
    return response


def head(method: str, path: str, **headers: object) -> bytes:
    fields = {"Host": "farm", "Authorization": f"Bearer {API_KEY}", "Connection": "close"}
    fields |= {name.replace("_", "-"): str(value) for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode()


def assert_serves(farm: LocalFarm) -> None:
    """Check that the scheduler still runs in the same process and responds quickly."""
    assert farm.scheduler.is_running
    began = time.monotonic()
    assert farm.client.status().version
    assert time.monotonic() - began < 5
