"""`trackfarm models`: list the model sets, pull them to this machine and verify them."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from trackfarm.cli.console import ExitCode, complain, out, print_json, say
from trackfarm.cli.session import JsonOption
from trackfarm.model_sets import ModelSet, UnknownModelSet, model_set, model_sets
from trackfarm.protocol.operator import FarmModelSet
from trackfarm.text import clean
from trackfarm.tiers import tiers
from trackfarm_worker.models.cache import is_present, model_folder
from trackfarm_worker.models.checkpoint import ModelNotReady, check, damage_message
from trackfarm_worker.models.digests import differences, file_digests, read_digests
from trackfarm_worker.models.download import pull


class Action(StrEnum):
    LIST = "list"
    SERVED = "served"
    PULL = "pull"
    VERIFY = "verify"


def models(
    action: Annotated[Action, typer.Argument(help="Action to run.")],
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="Model set; verify also takes a folder.")
    ] = "",
    to: Annotated[Path | None, typer.Option(help="pull: the folder to fill.")] = None,
    source: Annotated[
        str, typer.Option(help="pull: folder or hub repository to use instead of the default.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """List the model sets, show the ones that the farm serves, pull one, or verify one.

    `pull` downloads from the Hugging Face hub (or --source) and converts the official ACE-Step
    layout where needed. It can be repeated: an interrupted download resumes. `verify` reads every
    byte; exit code 1 if a file differs. Models are stored in TRACKFARM_MODELS.
    """
    if action is Action.LIST:
        _list(as_json)
        return
    if action is Action.SERVED:
        _served(as_json)
        return
    if not name:
        raise typer.BadParameter(f"{action} needs the name of a model set", param_hint="NAME")
    try:
        _pull(_model_set(name), to, source, as_json) if action is Action.PULL else _verify(
            _folder(name), as_json
        )
    except ModelNotReady as error:
        complain(str(error))
        raise typer.Exit(ExitCode.INCOMPLETE) from None


@dataclass(frozen=True, slots=True)
class LocalModelSet:
    """A model set, the tiers it fits, and its folder on this machine (None: not present)."""

    model_set: ModelSet
    tiers: tuple[str, ...]
    folder: Path | None


def _list(as_json: bool) -> None:
    if as_json:
        print_json([_as_row(local) for local in _local_model_sets()])
    else:
        out().print(_sets_table(_local_model_sets()))


def _served(as_json: bool) -> None:
    # Imported late: the other actions need no connection.
    from trackfarm.cli.session import farm_connection

    with farm_connection() as farm:
        served = farm.models()
    if as_json:
        print_json(served)
    else:
        out().print(_served_table(served))


def _pull(row: ModelSet, to: Path | None, source: str, as_json: bool) -> None:
    pulled = pull(
        row, to=to, source=source, on_progress=lambda text: None if as_json else say(text)
    )
    if as_json:
        print_json({"folder": str(pulled.folder), "was_there": pulled.was_there})
    else:
        say(f"{row.name} {'was already' if pulled.was_there else 'is now'} in {pulled.folder}")


def _verify(folder: Path, as_json: bool) -> None:
    check(folder)
    recorded = read_digests(folder)
    if recorded is None:
        raise ModelNotReady(
            f"{folder} is complete, but has no digests.txt to compare with: pull it with "
            f"`trackfarm models pull NAME --source {folder} --to ANOTHER`"
        )
    problems = differences(recorded, file_digests(folder))
    if as_json:
        print_json({"folder": str(folder), "files": len(recorded), "differences": problems})
    if problems:
        raise ModelNotReady(damage_message(folder, problems))
    if not as_json:
        say(f"{folder}: all {len(recorded)} files match digests.txt")


def _model_set(name: str) -> ModelSet:
    try:
        return model_set(name)
    except UnknownModelSet as error:
        raise typer.BadParameter(str(error), param_hint="NAME") from None


def _folder(name: str) -> Path:
    """Return the folder to verify; a name counts as a path only if it has a slash or is `.`."""
    return Path(name) if "/" in name or name == "." else model_folder(_model_set(name))


def _local_model_sets() -> list[LocalModelSet]:
    """Return all model sets, in the order of the table `model_sets`."""
    return [LocalModelSet(row, _tiers(row), _present(row)) for row in model_sets().values()]


def _as_row(local: LocalModelSet) -> dict[str, Any]:
    row = local.model_set.model_dump(mode="json")
    row["tasks"] = sorted(row["tasks"])
    return row | {
        "tiers": list(local.tiers),
        "present": local.folder is not None,
        "folder": str(local.folder) if local.folder else None,
    }


def _sets_table(rows: Sequence[LocalModelSet]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("NAME", "DIT", "TASKS", "STEPS", "GUIDANCE", "LICENCE", "GB", "TIERS", "HERE"):
        is_number = title in {"STEPS", "GUIDANCE", "GB"}
        table.add_column(title, justify="right" if is_number else "left", no_wrap=title == "NAME")
    for local in rows:
        row = local.model_set
        table.add_row(
            row.name,
            f"{row.dit} {row.dtype}",
            _tasks(row),
            str(row.default_steps),
            f"{row.default_guidance:g}" if row.cfg else "-",
            row.licence,
            f"{row.download_gb:g}",
            f"{local.tiers[0]}+" if local.tiers else "none",
            "yes" if local.folder else "no",
        )
    return table


def _served_table(rows: Sequence[FarmModelSet]) -> Table:
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
    folder = model_folder(row)
    return folder if is_present(folder) else None
