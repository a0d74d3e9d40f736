"""Replaces itself by a program that the kernel terminates when the parent dies, even by SIGKILL.

`python -m trackfarm.embedded.pdeathsig <parent pid> -- program argument…` asks Linux to send
SIGTERM to this process on the death of its parent, then replaces itself by the program, which
keeps that setting (prctl(2), PR_SET_PDEATHSIG). macOS has no such call: there a SIGKILL of the
parent leaves the children running.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def tie_to_parent(parent: int) -> bool:
    """Request SIGTERM on the parent's death; return False when `parent` is dead already.

    Raises:
        OSError: the kernel refused.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    # A parent that died before the call causes no signal, so check it after the call.
    return os.getppid() == parent


def main(arguments: list[str]) -> int:
    match arguments:
        case [parent, "--", program, *rest] if parent.isdigit():
            if not tie_to_parent(int(parent)):
                return 1
            os.execvp(program, [program, *rest])  # noqa: S606 - replacing itself is the purpose
        case _:
            sys.stderr.write("usage: pdeathsig <parent pid> -- program argument…\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
