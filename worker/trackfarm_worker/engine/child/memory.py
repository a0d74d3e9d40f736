"""Limits on the work in one pass of a device: by the table `limits.toml`, and by its memory.

Memory levels are the step-by-step degradation of an engine when its device is out of memory:

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
from trackfarm_worker.engine.child.batching import BatchLimit
from trackfarm_worker.engine.child.decoder import WINDOW
from trackfarm_worker.engine.options import EngineOptions

WINDOWS = (512, 256, 128, 64)  # latent frames


@dataclass(frozen=True, slots=True)
class MemoryLevel:
    """Memory level. `pass_seconds` (padded audio seconds times passes) limits batches of several
    tracks; None: only the device's own limit applies. `window` in latent frames. `offload`: the
    text and condition encoders stay on the CPU."""

    pass_seconds: float | None
    window: int
    offload: bool


@dataclass(frozen=True, slots=True)
class MemoryLimits:
    """Memory limits of a pass: a batch within `limit`; `windows` of `window` latent frames are
    decoded at once."""

    limit: BatchLimit
    window: int
    windows: int


def first_level(kind: str, model_set: ModelSet, card_gb: float) -> MemoryLevel:
    """Return the initial memory level of a device, from the tier of the GPU
    (`trackfarm.tiers.residency`)."""
    if kind != "cuda":
        return MemoryLevel(pass_seconds=None, window=WINDOW, offload=False)
    initial = _initial_residency(model_set, card_gb)
    return MemoryLevel(pass_seconds=None, window=initial.window, offload=initial.offload)


def degrade(
    level: MemoryLevel, *, tracks: int, pass_seconds: float, can_offload: bool
) -> MemoryLevel | None:
    """Return the next level after a batch of `tracks` with `pass_seconds` ran out of memory; None:
    exhausted."""
    if tracks > 1:
        return replace(level, pass_seconds=pass_seconds / 2)
    smaller = [window for window in WINDOWS if window < level.window]
    if smaller:
        return replace(level, window=smaller[0])
    if can_offload and not level.offload:
        return replace(level, offload=True)
    return None


def memory_limits(
    kind: str, model_set: ModelSet, card_gb: float, level: MemoryLevel, options: EngineOptions
) -> MemoryLimits:
    """Return the limits of a device. `kind` is cpu, synthetic or cuda; `card_gb` (10^9 bytes)
    counts for cuda only.

    Always allows at least one track and one window: if they do not fit, the memory level is lowered
    (`degrade`).
    """
    row = _row(kind, card_gb)
    bound, windows = float(row["pass_seconds"]), int(row["windows"])
    if kind == "cuda":
        int8 = _has_int8(options, _initial_residency(model_set, card_gb))
        free = free_gb(model_set, card_gb, offload=level.offload, int8=int8)
        bound = min(bound, pass_seconds(model_set, free))
        windows = max(1, min(windows, int(free / window_gb(level.window))))
        if level.window < first_level(kind, model_set, card_gb).window:
            windows = 1
    bounds = [bound, level.pass_seconds, options.batch_seconds]
    return MemoryLimits(
        limit=BatchLimit(
            tracks=min(int(row["tracks"]), options.batch_tracks or int(row["tracks"])),
            pass_seconds=max(0.0, min(bound for bound in bounds if bound is not None)),
        ),
        window=level.window,
        windows=windows,
    )


class MemoryLevelStore:
    """Stored memory levels of all devices and model sets, in one JSON file; `key` names ours."""

    def __init__(self, path: Path, key: str) -> None:
        self._path = path
        self._key = key

    def load(self) -> MemoryLevel | None:
        """Return the stored level; None if there is none or the file is unreadable."""
        return self._all().get(self._key)

    def save(self, level: MemoryLevel) -> None:
        """Store the level. Raises OSError when the file cannot be written."""
        content = _FILE.dump_json(self._all() | {self._key: level}, indent=1)
        write_atomically(self._path, content, is_shared=True)

    def _all(self) -> dict[str, MemoryLevel]:
        try:
            return _FILE.validate_json(self._path.read_bytes())
        except (OSError, ValueError):
            return {}


_FILE = TypeAdapter(dict[str, MemoryLevel])


def _initial_residency(model_set: ModelSet, card_gb: float) -> Residency:
    return residency(model_set, int(card_gb * 1e9) >> 20)


def _has_int8(options: EngineOptions, initial: Residency) -> bool:
    return initial.int8 if options.weights is None else options.weights == "int8"


def _row(kind: str, card_gb: float) -> dict[str, Any]:
    rows = _table()[kind]
    if isinstance(rows, dict):
        return rows
    # GPUs report slightly less memory than their nominal size.
    return next(row for row in rows if card_gb >= 0.93 * row["vram"])


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads((files("trackfarm_worker.engine.child") / "limits.toml").read_text())
