"""Helpers for tests of the embedded farm: specs of stand-ins, and process checks."""

import os
import sys
from pathlib import Path

from trackfarm.embedded.process import ChildSpec

STAND_IN = Path(__file__).with_name("stand_in.py")


def stand_in(name: str, folder: Path, *, stage: int = 0, manner: str = "gentle") -> ChildSpec:
    return ChildSpec(
        name=name,
        argv=(sys.executable, str(STAND_IN), name, str(folder), manner),
        env=dict(os.environ),
        stage=stage,
        healthy=(folder / f"{name}.ready").exists,
        stop_seconds=0.5 if manner == "stubborn" else 10,
    )


def is_alive(pid: int) -> bool:
    """Return whether the process exists and is not a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
