"""An ASGI application behind a real uvicorn, in a thread of the test's process."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from tests.servers.process import wait_until


@contextmanager
def listening_socket() -> Iterator[tuple[socket.socket, str]]:
    """A socket that holds a free port already, and the base URL of what will serve on it."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        yield listener, f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def serving(app: Any, listener: socket.socket, **options: Any) -> Iterator[None]:
    """Serves the application on the socket until the block ends."""
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=5, **options)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="uvicorn")
    thread.start()
    try:
        wait_until(lambda: server.started, timeout_s=10, what="uvicorn serves")
        yield
    finally:
        server.should_exit = True
        thread.join()
