"""Receivers that send a byte at a time block neither a message nor the shutdown."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.scheduler.webhooks.dispatcher_fixture import LOOPBACK, WebhookFixture
from tests.servers.process import wait_until
from trackfarm.protocol.webhooks import DeliveryState, HookEvent
from trackfarm_scheduler.db.tables_webhooks import DeliveryRow
from trackfarm_scheduler.webhooks.http import Sender


@contextmanager
def trickling() -> Iterator[tuple[str, threading.Event]]:
    """Yield the server's URL, and an event set after its first byte."""
    began, over = threading.Event(), threading.Event()

    def answer(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nx-slow: ")
            while not over.wait(0.05):
                connection.sendall(b"a")
                began.set()

    def accept() -> None:
        while not over.is_set():
            with suppress(TimeoutError):
                threading.Thread(target=answer, args=[listener.accept()[0]]).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/hook", began
        finally:
            over.set()
            thread.join()


def test_a_send_ends_at_its_deadline_however_it_is_answered(webhooks: WebhookFixture) -> None:
    farm = webhooks.farm
    webhooks.deliverer._sender = Sender(farm.objects, LOOPBACK, farm.clock, deadline=0.3)
    with trickling() as (url, _):
        webhooks.hook(url, HookEvent.JOB_ENDED)
        webhooks.made()
        webhooks.tick()
    (row,) = farm.rows(DeliveryRow)
    assert (row.state, row.tries, row.error) == (DeliveryState.PENDING, 1, "no answer within 0.3 s")


def test_nobody_who_trickles_keeps_the_scheduler_from_ending(webhooks: WebhookFixture) -> None:
    with trickling() as (url, began):
        webhooks.hook(url, HookEvent.JOB_ENDED)
        webhooks.made()
        webhooks.deliverer.tick()
        assert began.wait(10)
        (lane,) = webhooks.deliverer._busy.values()
        assert lane.daemon, "it must not keep the process alive"
        start = time.monotonic()
        webhooks.deliverer.close()
        assert time.monotonic() - start < 5
        wait_until(lambda: not lane.is_alive(), timeout_s=5, what="its connection is aborted")
    (row,) = webhooks.farm.rows(DeliveryRow)
    assert (row.tries, row.error) == (1, "the scheduler was stopped")
