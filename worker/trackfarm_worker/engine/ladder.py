"""Memory levels: the step-by-step degradation of an engine when its device is out of memory.

    halve the batch ─▶ batch of one ─▶ smaller window (512, 256, 128, 64) ─▶ conditioning off the
    device ─▶ exhausted

A level is permanent: it is stored per device and model set beside the spool, so that a restarted
engine does not fail the same way again.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter

WINDOWS = (512, 256, 128, 64)  # latent frames


@dataclass(frozen=True, slots=True)
class Rung:
    """Memory level. `seconds` (padded audio seconds times passes) limits batches of several tracks;
    None: only the device's own limit applies. `window` in latent frames. `offload`: the text and
    condition encoders stay on the CPU."""

    seconds: float | None
    window: int
    offload: bool


def descend(rung: Rung, *, tracks: int, weight: float, can_offload: bool) -> Rung | None:
    """Return the next level after a batch of `tracks` and `weight` ran out of memory; None:
    exhausted."""
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
    """Stored memory levels of all devices and model sets, in one JSON file."""

    def __init__(self, path: Path, key: str) -> None:
        self._path = path
        self._key = key

    def recall(self) -> Rung | None:
        """Return the stored level; None if there is none or the file is unreadable."""
        return self._all().get(self._key)

    def remember(self, rung: Rung) -> None:
        """Store the level. Raises OSError when the file cannot be written."""
        partial = self._path.with_suffix(".part")
        partial.write_bytes(_FILE.dump_json(self._all() | {self._key: rung}, indent=1))
        os.replace(partial, self._path)

    def _all(self) -> dict[str, Rung]:
        try:
            return _FILE.validate_json(self._path.read_bytes())
        except (OSError, ValueError):
            return {}
