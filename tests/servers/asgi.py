"""An ASGI application behind a real uvicorn, in a thread of the test's process."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from tests.servers.process import wait_until


@contextmanager
def listening_socket(port: int = 0) -> Iterator[tuple[socket.socket, str]]:
    """Yield a socket that holds the port already, and the base URL of its server; 0: a free port."""
    with socket.create_server(("127.0.0.1", port), backlog=128) as listener:
        yield listener, f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def serve_app(app: Any, listener: socket.socket, **options: Any) -> Iterator[None]:
    """Serve the application on the socket until the block ends."""
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
