"""Tables of `trackfarm models list` and `trackfarm models served`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from trackfarm.api import FarmModelSet
from trackfarm.model_sets import ModelSet, model_sets
from trackfarm.printable import clean
from trackfarm.tiers import tiers
from trackfarm_worker.models.store import folder_of, is_present


@dataclass(frozen=True, slots=True)
class KnownSet:
    """A model set, the tiers it fits, and its folder on this machine (None: not present)."""

    model_set: ModelSet
    tiers: tuple[str, ...]
    folder: Path | None


def known_sets() -> list[KnownSet]:
    """Return all model sets, in the order of the table `model_sets`."""
    return [KnownSet(row, _tiers(row), _present(row)) for row in model_sets().values()]


def as_row(known: KnownSet) -> dict[str, Any]:
    row = known.model_set.model_dump(mode="json")
    row["tasks"] = sorted(row["tasks"])
    return row | {
        "tiers": list(known.tiers),
        "present": known.folder is not None,
        "folder": str(known.folder) if known.folder else None,
    }


def sets_table(rows: Sequence[KnownSet]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("NAME", "DIT", "TASKS", "STEPS", "GUIDANCE", "LICENCE", "GB", "TIERS", "HERE"):
        is_number = title in {"STEPS", "GUIDANCE", "GB"}
        table.add_column(title, justify="right" if is_number else "left", no_wrap=title == "NAME")
    for known_set in rows:
        row = known_set.model_set
        table.add_row(
            row.name,
            f"{row.dit} {row.dtype}",
            _tasks(row),
            str(row.default_steps),
            f"{row.default_guidance:g}" if row.cfg else "-",
            row.licence,
            f"{row.download_gb:g}",
            f"{known_set.tiers[0]}+" if known_set.tiers else "none",
            "yes" if known_set.folder else "no",
        )
    return table


def served_table(rows: Sequence[FarmModelSet]) -> Table:
    """Return the table of `trackfarm models served`."""
    table = Table(box=None, pad_edge=False)
    for title in ("NAME", "REVISION", "TIERS", "READY", "BUSY", "WAITING", "BEING MADE", ""):
        is_number = title in {"READY", "BUSY", "WAITING", "BEING MADE"}
        table.add_column(title, justify="right" if is_number else "left", no_wrap=title == "NAME")
    for row in rows:
        counts = (row.workers_ready, row.workers_busy, row.tracks_pending, row.tracks_leased)
        table.add_row(
            row.name,
            clean(row.revision)[:12],
            f"{row.tier}+" if row.tier else "cpu",
            *(f"{number:,}" for number in counts),
            "the default" if row.is_default else "",
        )
    return table


def _tasks(row: ModelSet) -> str:
    return "all six" if len(row.tasks) == 6 else ", ".join(sorted(row.tasks))


def _tiers(row: ModelSet) -> tuple[str, ...]:
    return tuple(name for name, tier in tiers().items() if tier.vram >= row.min_vram)


def _present(row: ModelSet) -> Path | None:
    folder = folder_of(row)
    return folder if is_present(folder) else None
