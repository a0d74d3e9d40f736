"""Entry point of the engine process (`python -m trackfarm_worker.engine.child`), the only one with
torch."""

import gc
import os
import sys
import threading
from collections.abc import Callable
from typing import BinaryIO

from trackfarm.model_sets import model_set
from trackfarm_worker.engine.child.control import ControlChannel
from trackfarm_worker.engine.protocol import LoadFailed, Report, Setup, encode
from trackfarm_worker.models.checkpoint import ModelNotReady, check


def main() -> int:
    incoming, outgoing = _claim_pipes()
    control = ControlChannel(incoming)

    sending = threading.Lock()  # the audio writer's thread also sends, in parallel

    def send(report: Report) -> None:
        try:
            with sending:
                outgoing.write(encode(report))
                outgoing.flush()
        except BrokenPipeError:
            os._exit(0)

    try:
        setup = control.setup()
        if setup.model_path and not model_set(setup.model_set).is_built_in:
            check(setup.model_path)
        _import_serve()(setup, control, send)
        return 0
    except ModelNotReady as error:
        send(LoadFailed(message=str(error)))
        return 1


def _claim_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Reserve stdin and stdout for the protocol, so that no library can read or write there."""
    control, reports = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return os.fdopen(control, "rb"), os.fdopen(reports, "wb")


def _import_serve() -> Callable[[Setup, ControlChannel, Callable[[Report], None]], None]:
    """Import `serve` late: that takes seconds, in which the parent may exit and libraries may
    print.

    Garbage collection is off meanwhile: it would scan a million objects of libraries again and
    again, a fifth of the import time.
    """
    gc.disable()
    from trackfarm_worker.engine.child.build import serve

    gc.freeze()
    gc.enable()
    return serve


if __name__ == "__main__":
    sys.exit(main())
