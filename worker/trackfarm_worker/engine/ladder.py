"""What an engine gives up, step by step, when its device is out of memory.

    halve the batch ─▶ batch of one ─▶ smaller window (512, 256, 128, 64) ─▶ conditioning off the
    device ─▶ exhausted

A rung holds for good: it is remembered per device and model set beside the spool, so that a
restarted engine does not fall down the same ladder again.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter

WINDOWS = (512, 256, 128, 64)  # latent frames


@dataclass(frozen=True, slots=True)
class Rung:
    """`seconds` (padded audio seconds times passes) limits batches of several tracks; None: no more
    than the device's own limit does. `window` in latent frames. `offload`: the text and condition
    encoders stay on the CPU."""

    seconds: float | None
    window: int
    offload: bool


def descend(rung: Rung, *, tracks: int, weight: float, can_offload: bool) -> Rung | None:
    """The next rung after a batch of `tracks` and `weight` ran out of memory; None: exhausted."""
    if tracks > 1:
        return replace(rung, seconds=weight / 2)
    smaller = [window for window in WINDOWS if window < rung.window]
    if smaller:
        return replace(rung, window=smaller[0])
    if can_offload and not rung.offload:
        return replace(rung, offload=True)
    return None


_FILE = TypeAdapter(dict[str, Rung])


class Memory:
    """The rungs of each device and model set in one JSON file."""

    def __init__(self, path: Path, key: str) -> None:
        self._path = path
        self._key = key

    def recall(self) -> Rung | None:
        """None when nothing, or nothing readable, is remembered."""
        return self._all().get(self._key)

    def remember(self, rung: Rung) -> None:
        """Raises OSError when the file cannot be written."""
        partial = self._path.with_suffix(".part")
        partial.write_bytes(_FILE.dump_json(self._all() | {self._key: rung}, indent=1))
        os.replace(partial, self._path)

    def _all(self) -> dict[str, Rung]:
        try:
            return _FILE.validate_json(self._path.read_bytes())
        except (OSError, ValueError):
            return {}
