"""The home directory of an embedded farm: its paths, secrets and lock."""

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

from trackfarm.atomic_file import write_private
from trackfarm.settings import ClientSettingsError, read_address

ENDING_SECONDS = 15.0  # the children of a killed farm may need this long to exit
POLL_SECONDS = 0.1


class HomeInUse(Exception):
    """Another farm runs in this home directory; the message names it."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """Secrets shared by the parts of one farm; generated once per home directory."""

    api_key: str
    join_token: str
    signing_secret: str
    broker_password: str

    def __repr__(self) -> str:
        return "Secrets(…)"


@dataclass(frozen=True, slots=True)
class Home:
    """Paths inside one home directory."""

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
        """Create the directory with mode 0700; an existing one keeps its mode."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.objects.mkdir(exist_ok=True)

    def secrets(self) -> Secrets:
        """Return the stored secrets; generate them if there are none.

        Raises:
            ClientSettingsError: the file exists and cannot be read.
        """
        path = self.root / "secrets.json"
        if not path.exists():
            generated = Secrets(*(secrets.token_hex(24) for _ in range(4)))
            write_private(path, json.dumps(asdict(generated), indent=2) + "\n")
        try:
            return Secrets(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise ClientSettingsError(
                f"{path} cannot be read ({error}); delete it to generate new secrets"
            ) from error


@contextmanager
def lock_home(home: Home, *, ending_seconds: float = ENDING_SECONDS) -> Iterator[int]:
    """Lock the home directory for one farm; yield the descriptor that holds the lock.

    The lock belongs to the directory's open file description: children that inherit the descriptor
    keep the lock until the last of them has exited, and no lock file is left behind. If the farm
    that held it was killed, its children get `ending_seconds` to exit.

    Raises:
        HomeInUse: another farm runs here.
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
        raise HomeInUse(f"{home.root} is in use by `trackfarm up` (pid {holder.pid}, {holder.url})")
    if time.monotonic() > deadline:
        raise HomeInUse(
            f"{home.root} is in use by the processes of another farm that is starting or stopping;"
            " try again in a few seconds"
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
