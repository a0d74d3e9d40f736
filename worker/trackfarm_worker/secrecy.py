"""Secrets that a worker is given in its environment, and that its children must not find."""

import ctypes
import os
from collections.abc import Mapping

SECRETS = ("TRACKFARM_WORKER_JOIN_TOKEN", "RUNPOD_API_KEY", "CONTAINER_API_KEY")
_FILLER = ord("*")  # not NUL: readers of a process's environment stop at two of them


def taken() -> Mapping[str, str]:
    """Our environment as it was given. Afterwards it is without its secrets, in /proc too: engines
    load strangers' weights, and decoders strangers' files."""
    given = dict(os.environ)
    for name in SECRETS:
        _overwrite(name)
        os.environ.pop(name, None)
    return given


def _overwrite(name: str) -> None:
    """Where it lies: what is only unset can still be read in /proc/<pid>/environ."""
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_void_p
    address = getenv(name.encode())
    if address is not None:
        ctypes.memset(address, _FILLER, len(ctypes.string_at(address)))
