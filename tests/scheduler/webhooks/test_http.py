"""Receivers that send a byte at a time, or nothing, block neither a message nor the shutdown."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import pytest

from tests.scheduler.webhooks.dispatcher_fixture import LOOPBACK, WebhookFixture
from trackfarm.protocol.webhooks import DeliveryState, HookEvent
from trackfarm_scheduler.db.tables_webhooks import DeliveryRow
from trackfarm_scheduler.webhooks.http import WebhookSender

HEAD = b"HTTP/1.1 200 OK\r\nx-slow: "


@dataclass(slots=True)
class SlowServer:
    """Server that sends `head`, then one `piece` after the other. `began` is set once it has sent
    one, `hung_up` when the client has closed its connection."""

    head: bytes
    piece: bytes
    port: int = 0
    began: threading.Event = field(default_factory=threading.Event)
    hung_up: threading.Event = field(default_factory=threading.Event)


@contextmanager
def slow_server(head: bytes = HEAD, piece: bytes = b"a") -> Iterator[SlowServer]:
    server, over = SlowServer(head, piece), threading.Event()

    def answer(connection: socket.socket) -> None:
        with connection, suppress(ConnectionError):
            connection.settimeout(0.05)
            connection.sendall(head)
            while not over.is_set():
                connection.sendall(piece)
                server.began.set()
                with suppress(TimeoutError):
                    if not connection.recv(4096):
                        break
        server.hung_up.set()

    def accept() -> None:
        while not over.is_set():
            with suppress(TimeoutError):
                threading.Thread(target=answer, args=[listener.accept()[0]]).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            server.port = listener.getsockname()[1]
            yield server
        finally:
            over.set()
            thread.join()


@pytest.mark.parametrize(
    ("scheme", "head", "piece"),
    [("http", HEAD, b"a"), ("http", b"", b""), ("https", b"", b"")],
    ids=["trickles", "silent", "silent before TLS"],
)
def test_send_ends_at_its_deadline_however_slow_the_receiver(
    webhooks: WebhookFixture, scheme: str, head: bytes, piece: bytes
) -> None:
    farm = webhooks.farm
    webhooks.dispatcher._sender = WebhookSender(
        farm.objects, LOOPBACK, farm.clock, deadline_seconds=0.3
    )
    with slow_server(head, piece) as server:
        webhooks.create_webhook(f"{scheme}://127.0.0.1:{server.port}/hook", HookEvent.JOB_ENDED)
        webhooks.finish_job()
        start = time.monotonic()
        webhooks.tick()
        assert time.monotonic() - start < 4, "sooner than any single operation times out"
        assert server.hung_up.wait(2)
    (row,) = farm.rows(DeliveryRow)
    assert (row.state, row.tries, row.error) == (DeliveryState.PENDING, 1, "no answer within 0.3 s")


def test_close_aborts_a_send_to_a_slow_receiver(webhooks: WebhookFixture) -> None:
    with slow_server() as server:
        webhooks.create_webhook(f"http://127.0.0.1:{server.port}/hook", HookEvent.JOB_ENDED)
        webhooks.finish_job()
        webhooks.dispatcher.tick()
        assert server.began.wait(10)
        (task,) = webhooks.dispatcher._busy.values()
        (thread,) = [t for t in threading.enumerate() if t.name == "webhook sender"]
        assert thread.daemon, "it must not keep the process alive"
        start = time.monotonic()
        webhooks.dispatcher.close()
        assert time.monotonic() - start < 5
        assert task.done()
        assert not thread.is_alive()
        assert server.hung_up.wait(2)
    (row,) = webhooks.farm.rows(DeliveryRow)
    assert (row.tries, row.error) == (1, "the scheduler was stopped")
