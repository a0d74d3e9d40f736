"""The home directory of an embedded farm: what is in it, its secrets, and who holds it."""

import errno
import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from trackfarm.settings import SettingsError, read_address, write_private

ENDING_SECONDS = 15.0  # how long the children of a killed farm may need to end
POLL_SECONDS = 0.1


class HomeHeld(Exception):
    """Another farm runs in this home directory; the message says which."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """What only the parts of this farm know; made once for each home directory."""

    api_key: str
    join_token: str
    signing_secret: str
    broker_password: str

    def __repr__(self) -> str:
        return "Secrets(…)"


@dataclass(frozen=True, slots=True)
class Home:
    """The paths inside one home directory."""

    root: Path

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def broker(self) -> Path:
        return self.root / "broker"

    @property
    def database(self) -> Path:
        return self.root / "trackfarm.db"

    @property
    def objects(self) -> Path:
        return self.root / "objects"

    def worker(self, name: str) -> Path:
        return self.root / "workers" / name

    def create(self) -> None:
        """Makes the directory, closed to other users; one that exists keeps its own mode."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.objects.mkdir(exist_ok=True)

    def secrets(self) -> Secrets:
        """The stored secrets, made now when there are none.

        Raises:
            SettingsError: the file is there and cannot be read.
        """
        path = self.root / "secrets.json"
        if not path.exists():
            made = Secrets(*(secrets.token_hex(24) for _ in range(4)))
            write_private(path, json.dumps(asdict(made), indent=2) + "\n")
        try:
            return Secrets(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise SettingsError(f"{path} cannot be read ({error}); remove it") from error


@contextmanager
def hold(home: Home, *, ending_seconds: float = ENDING_SECONDS) -> Iterator[int]:
    """Locks the home directory for one farm; gives the descriptor that carries the lock.

    The lock belongs to the directory's open description: children that inherit the descriptor
    keep it until the last of them has ended, and no file is left behind. When the farm that held
    it was killed, its children are given `ending_seconds` to end.

    Raises:
        HomeHeld: another farm runs here.
    """
    descriptor = os.open(home.root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        deadline = time.monotonic() + ending_seconds
        while not _try_lock(descriptor):
            _wait_or_refuse(home, deadline)
        yield descriptor
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            raise
        return False
    return True


def _wait_or_refuse(home: Home, deadline: float) -> None:
    holder = read_address(home.root)
    if holder and holder.pid and _is_alive(holder.pid):
        raise HomeHeld(f"{home.root} is held by `trackfarm up` (pid {holder.pid}, {holder.url})")
    if time.monotonic() > deadline:
        raise HomeHeld(
            f"{home.root} is held by the processes of another farm that is starting or ending;"
            " try again in some seconds"
        )
    time.sleep(POLL_SECONDS)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
