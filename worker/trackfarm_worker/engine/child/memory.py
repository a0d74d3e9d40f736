"""Limits on the work in one pass of a device: by the table `limits.toml`, and by its memory.

Memory levels: the step-by-step degradation of an engine when its device is out of memory.

    halve the batch ─▶ batch of one ─▶ smaller window (512, 256, 128, 64) ─▶ conditioning off the
    device ─▶ exhausted

A level is permanent: it is stored per device and model set beside the spool, so that a restarted
engine does not fail the same way again.
"""

import tomllib
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from trackfarm.atomic_file import write_atomically
from trackfarm.model_sets import ModelSet
from trackfarm.tiers import Residency, free_gb, pass_seconds, residency, window_gb
from trackfarm_worker.engine.child.batching import Limit
from trackfarm_worker.engine.child.decoder import WINDOW
from trackfarm_worker.engine.options import Options

WINDOWS = (512, 256, 128, 64)  # latent frames


@dataclass(frozen=True, slots=True)
class MemoryLevel:
    """Memory level. `seconds` (padded audio seconds times passes) limits batches of several tracks;
    None: only the device's own limit applies. `window` in latent frames. `offload`: the text and
    condition encoders stay on the CPU."""

    seconds: float | None
    window: int
    offload: bool


def degrade(
    rung: MemoryLevel, *, tracks: int, weight: float, can_offload: bool
) -> MemoryLevel | None:
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


_FILE = TypeAdapter(dict[str, MemoryLevel])


class Memory:
    """Stored memory levels of all devices and model sets, in one JSON file."""

    def __init__(self, path: Path, key: str) -> None:
        self._path = path
        self._key = key

    def recall(self) -> MemoryLevel | None:
        """Return the stored level; None if there is none or the file is unreadable."""
        return self._all().get(self._key)

    def remember(self, rung: MemoryLevel) -> None:
        """Store the level. Raises OSError when the file cannot be written."""
        content = _FILE.dump_json(self._all() | {self._key: rung}, indent=1)
        write_atomically(self._path, content, is_shared=True)

    def _all(self) -> dict[str, MemoryLevel]:
        try:
            return _FILE.validate_json(self._path.read_bytes())
        except (OSError, ValueError):
            return {}


@dataclass(frozen=True, slots=True)
class MemoryLimits:
    """Memory limits of a pass: a batch within `limit`; `windows` of `window` latent frames are
    decoded at once."""

    limit: Limit
    window: int
    windows: int


def first_level(kind: str, model_set: ModelSet, card_gb: float) -> MemoryLevel:
    """Return the initial memory level of a device, from the tier of the GPU
    (`trackfarm.tiers.residency`)."""
    if kind != "cuda":
        return MemoryLevel(seconds=None, window=WINDOW, offload=False)
    initial = begins(model_set, card_gb)
    return MemoryLevel(seconds=None, window=initial.window, offload=initial.offload)


def begins(model_set: ModelSet, card_gb: float) -> Residency:
    return residency(model_set, int(card_gb * 1e9) >> 20)


def has_int8(options: Options, begun: Residency) -> bool:
    return begun.int8 if options.weights is None else options.weights == "int8"


def memory_limits(
    kind: str, model_set: ModelSet, card_gb: float, rung: MemoryLevel, options: Options
) -> MemoryLimits:
    """Return the limits of a device. `kind` is cpu, synthetic or cuda; `card_gb` (10^9 bytes)
    counts for cuda only.

    Always allows at least one track and one window: if they do not fit, the memory level is lowered
    (`ladder`).
    """
    row = _row(kind, card_gb)
    seconds, windows = float(row["seconds"]), int(row["windows"])
    if kind == "cuda":
        int8 = has_int8(options, begins(model_set, card_gb))
        free = free_gb(model_set, card_gb, offload=rung.offload, int8=int8)
        seconds = min(seconds, pass_seconds(model_set, free))
        windows = max(1, min(windows, int(free / window_gb(rung.window))))
        if rung.window < first_level(kind, model_set, card_gb).window:
            windows = 1
    bounds = [seconds, rung.seconds, options.batch_seconds]
    return MemoryLimits(
        limit=Limit(
            tracks=min(int(row["tracks"]), options.batch_tracks or int(row["tracks"])),
            seconds=max(0.0, min(bound for bound in bounds if bound is not None)),
        ),
        window=rung.window,
        windows=windows,
    )


def _row(kind: str, card_gb: float) -> dict[str, Any]:
    rows = _table()[kind]
    if isinstance(rows, dict):
        return rows
    # GPUs report slightly less memory than their nominal size.
    return next(row for row in rows if card_gb >= 0.93 * row["vram"])


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads((files("trackfarm_worker.engine.child") / "limits.toml").read_text())
