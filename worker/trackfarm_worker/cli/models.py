"""`trackfarm models`: list the model sets, pull them to this machine and verify them."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from trackfarm.cli.console import complain, out, print_json, say
from trackfarm.cli.exits import ExitCode
from trackfarm.cli.options import JsonOption
from trackfarm.model_sets import ModelSet, UnknownModelSet, model_set
from trackfarm_worker.cli.model_tables import as_row, known_sets, served_table, sets_table
from trackfarm_worker.models.checkpoint import ModelNotReady, check
from trackfarm_worker.models.digests import differences, file_digests, written_digests
from trackfarm_worker.models.integrity import damage
from trackfarm_worker.models.pull import pull
from trackfarm_worker.models.store import folder_of


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
    """List the model sets, show the ones served by the farm, pull one to this machine, or verify
    it.

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
        _pull(_known(name), to, source, as_json) if action is Action.PULL else _verify(
            _folder(name), as_json
        )
    except ModelNotReady as error:
        complain(str(error))
        raise typer.Exit(ExitCode.INCOMPLETE) from None


def _list(as_json: bool) -> None:
    if as_json:
        print_json([as_row(known) for known in known_sets()])
    else:
        out().print(sets_table(known_sets()))


def _served(as_json: bool) -> None:
    # Imported late: the other actions need no connection.
    from trackfarm.cli.session import connected

    with connected() as farm:
        served = farm.models()
    if as_json:
        print_json(served)
    else:
        out().print(served_table(served))


def _pull(wanted: ModelSet, to: Path | None, source: str, as_json: bool) -> None:
    pulled = pull(wanted, to=to, source=source, say=lambda text: None if as_json else say(text))
    if as_json:
        print_json({"folder": str(pulled.folder), "was_there": pulled.was_there})
    else:
        say(f"{wanted.name} {'was already' if pulled.was_there else 'is now'} in {pulled.folder}")


def _verify(folder: Path, as_json: bool) -> None:
    check(folder)
    recorded = written_digests(folder)
    if recorded is None:
        raise ModelNotReady(
            f"{folder} is complete, but has no digests.txt to compare with: pull it with "
            f"`trackfarm models pull NAME --source {folder} --to ANOTHER`"
        )
    problems = differences(recorded, file_digests(folder))
    if as_json:
        print_json({"folder": str(folder), "files": len(recorded), "differences": problems})
    if problems:
        raise ModelNotReady(damage(folder, problems))
    if not as_json:
        say(f"{folder}: all {len(recorded)} files match digests.txt")


def _known(name: str) -> ModelSet:
    try:
        return model_set(name)
    except UnknownModelSet as error:
        raise typer.BadParameter(str(error), param_hint="NAME") from None


def _folder(name: str) -> Path:
    """Return the folder to verify; a name counts as a path only if it has a slash or is `.`."""
    return Path(name) if "/" in name or name == "." else folder_of(_known(name))
