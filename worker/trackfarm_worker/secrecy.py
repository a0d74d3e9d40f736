"""Secrets in the worker's environment, which its child processes must not see."""

import ctypes
import os
from collections.abc import Mapping

SECRETS = ("TRACKFARM_WORKER_JOIN_TOKEN", "RUNPOD_API_KEY", "CONTAINER_API_KEY")
_FILLER = ord("*")  # not NUL: readers of a process's environment stop at two of them


def taken() -> Mapping[str, str]:
    """Return our environment, then remove its secrets, from /proc too: engines load third-party
    weights, and decoders third-party files."""
    environ = dict(os.environ)
    for name in SECRETS:
        _overwrite(name)
        os.environ.pop(name, None)
    return environ


def _overwrite(name: str) -> None:
    """Overwrite the value in memory: a variable that is only unset can still be read in
    /proc/<pid>/environ."""
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_void_p
    address = getenv(name.encode())
    if address is not None:
        ctypes.memset(address, _FILLER, len(ctypes.string_at(address)))
