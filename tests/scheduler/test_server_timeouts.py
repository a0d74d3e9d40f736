"""Time limits for connections of slow clients."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from tests.servers.asgi import listening_socket, serve_app
from tests.servers.process import wait_until
from trackfarm_scheduler import server
from trackfarm_scheduler.server import HEAD_BYTES, MIN_BODY_BYTES, protocol_with_timeouts

HEAD_SECONDS, BODY_SECONDS = 0.4, 0.5
HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"


class Application:
    """Application that responds with the size of the body; `/early` before reading it."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        size, more = 0, scope["type"] == "http" and scope["path"] != "/early"
        if scope["type"] != "http":
            return
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size, more = size + len(message["body"]), message["more_body"]
        body = str(size).encode()
        length = (b"content-length", str(len(body)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    protocol = protocol_with_timeouts(head_seconds=HEAD_SECONDS, body_seconds=BODY_SECONDS)
    with listening_socket() as (listener, _), serve_app(Application(), listener, http=protocol):
        yield listener.getsockname()


def ended(connection: socket.socket, *, within: float = 5) -> bytes:
    """Return the bytes received until the server closed the connection."""
    connection.settimeout(within)
    received = b""
    while part := connection.recv(4096):
        received += part
    return received


def answers(connection: socket.socket, body: bytes) -> None:
    """Wait for a response with this body."""
    connection.settimeout(5)
    received = b""
    while not received.endswith(b"\r\n\r\n" + body):
        received += connection.recv(4096)


def is_closed(connection: socket.socket, piece: bytes) -> bool:
    """Send a piece; returns whether the server has closed the connection by now."""
    try:
        connection.sendall(piece)
    except OSError:
        return True
    return False


def test_connection_without_a_request_is_closed(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as silent:
        assert ended(silent) == b""


def test_head_that_trickles_is_cut_off(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        wait_until(lambda: is_closed(slow, b"X: 1\r\n"), timeout_s=5, what="it is closed")


def test_second_head_on_a_kept_connection_is_bounded_too(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as kept:
        kept.sendall(HEAD % 1 + b"x")
        answers(kept, b"1")
        kept.sendall(b"GET / HTTP/1.1\r\n")
        assert ended(kept) == b""


def test_body_that_stops_is_cut_off(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as stopped:
        stopped.sendall(HEAD % 10 + b"x")
        assert ended(stopped) == b""


def test_body_that_makes_progress_may_take_longer_than_a_wait(address: tuple[str, int]) -> None:
    """The whole body takes longer than any single wait; each piece is enough to wait again."""
    pieces = 6
    piece = b"x" * MIN_BODY_BYTES
    with socket.create_connection(address) as slow:
        slow.sendall(HEAD % (pieces * len(piece)))
        for _ in range(pieces):
            slow.settimeout(BODY_SECONDS / 3)
            with pytest.raises(TimeoutError):
                slow.recv(1)
            slow.sendall(piece)
        answers(slow, str(pieces * len(piece)).encode())


def test_kept_connection_may_rest_between_requests(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as kept:
        for _ in range(2):
            kept.sendall(HEAD % 1 + b"x")
            answers(kept, b"1")
            kept.settimeout(HEAD_SECONDS + BODY_SECONDS)
            with pytest.raises(TimeoutError):
                kept.recv(1)


def test_head_without_end_is_cut_off(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as long:
        long.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: ")
        piece = b"x" * (HEAD_BYTES // 2)
        sent = 0
        while not is_closed(long, piece):
            sent += len(piece)
            assert sent < 100 * HEAD_BYTES


def test_body_that_was_answered_early_may_be_finished(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as early:
        early.sendall(HEAD.replace(b"/ ", b"/early ") % 10_000 + b"x" * 10)
        answers(early, b"0")
        early.sendall(b"x" * 9_990 + HEAD % 1 + b"x")
        answers(early, b"1")


def test_protocol_works_with_both_parsers() -> None:
    """The state that we read has the same names in both parsers."""
    from uvicorn.protocols.http import h11_impl, httptools_impl

    for module in (h11_impl, httptools_impl):
        names = module.RequestResponseCycle.__init__.__code__.co_names
        assert {"more_body", "response_complete"} <= set(names)
    assert issubclass(server.TimeoutProtocol, H11Protocol | httptools_impl.HttpToolsProtocol)
    assert uvicorn.Config(Application(), http=server.TimeoutProtocol).http
