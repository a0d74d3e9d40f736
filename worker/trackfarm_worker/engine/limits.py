"""Limits on the work in one pass of a device: by the table `limits.toml`, and by its memory."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from trackfarm.memory import free_gb, pass_seconds, window_gb
from trackfarm.model_sets import ModelSet
from trackfarm.tiers import Residency, residency
from trackfarm_worker.engine.batching import Limit
from trackfarm_worker.engine.ladder import Rung
from trackfarm_worker.engine.options import Options
from trackfarm_worker.engine.windows import WINDOW


@dataclass(frozen=True, slots=True)
class Room:
    """Memory limits of a pass: a batch within `limit`; `windows` of `window` latent frames are
    decoded at once."""

    limit: Limit
    window: int
    windows: int


def first_rung(kind: str, model_set: ModelSet, card_gb: float) -> Rung:
    """Return the initial memory level of a device, from the tier of the GPU
    (`trackfarm.tiers.residency`)."""
    if kind != "cuda":
        return Rung(seconds=None, window=WINDOW, offload=False)
    initial = begins(model_set, card_gb)
    return Rung(seconds=None, window=initial.window, offload=initial.offload)


def begins(model_set: ModelSet, card_gb: float) -> Residency:
    return residency(model_set, int(card_gb * 1e9) >> 20)


def has_int8(options: Options, begun: Residency) -> bool:
    return begun.int8 if options.weights is None else options.weights == "int8"


def room(kind: str, model_set: ModelSet, card_gb: float, rung: Rung, options: Options) -> Room:
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
        if rung.window < first_rung(kind, model_set, card_gb).window:
            windows = 1
    bounds = [seconds, rung.seconds, options.batch_seconds]
    return Room(
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
    return tomllib.loads((files("trackfarm_worker.engine") / "limits.toml").read_text())
