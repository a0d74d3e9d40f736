#!/usr/bin/env python3
"""Exit with 0 if the worker of this container has joined its farm and has an engine."""

import os
import sys
from pathlib import Path

ENGINE = b"trackfarm_worker.engine.child"


def has_engine() -> bool:
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if ENGINE in command.read_bytes():
                return True
        except OSError:
            continue  # the process has just ended
    return False


def has_joined() -> bool:
    return (Path(os.environ["TRACKFARM_WORKER_DATA_DIR"]) / "credentials.json").is_file()


if __name__ == "__main__":
    sys.exit(0 if has_joined() and has_engine() else 1)
