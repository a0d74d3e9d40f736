"""`trackfarm models`: which model sets there are, and which of them this machine holds."""

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
    action: Annotated[Action, typer.Argument(help="What to do.")],
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="Model set; for verify also a folder.")
    ] = "",
    to: Annotated[Path | None, typer.Option(help="pull: the folder to fill.")] = None,
    source: Annotated[
        str, typer.Option(help="pull: a folder or hub repository in place of the usual one.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """List the model sets, or those that the farm serves; pull one to this machine, or verify it.

    `pull` fetches from the Hugging Face hub (or --source), converts the official layout of
    ACE-Step where needed, and can be repeated: it goes on where it broke off. `verify` reads every
    byte; exit code 1 when something differs. Models are kept in TRACKFARM_MODELS.
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
    from trackfarm.cli.session import connected  # pulling and verifying need no farm

    with connected() as farm:
        found = farm.models()
    if as_json:
        print_json(found)
    else:
        out().print(served_table(found))


def _pull(wanted: ModelSet, to: Path | None, source: str, as_json: bool) -> None:
    pulled = pull(wanted, to=to, source=source, say=lambda text: None if as_json else say(text))
    if as_json:
        print_json({"folder": str(pulled.folder), "was_there": pulled.was_there})
    else:
        say(f"{wanted.name} {'was already' if pulled.was_there else 'is'} in {pulled.folder}")


def _verify(folder: Path, as_json: bool) -> None:
    check(folder)
    written = written_digests(folder)
    if written is None:
        raise ModelNotReady(
            f"{folder} is whole, but has no digests.txt to hold it against: pull it with "
            f"`trackfarm models pull NAME --source {folder} --to ANOTHER`"
        )
    wrong = differences(written, file_digests(folder))
    if as_json:
        print_json({"folder": str(folder), "files": len(written), "differences": wrong})
    if wrong:
        raise ModelNotReady(damage(folder, wrong))
    if not as_json:
        say(f"{folder}: all {len(written)} files are as they were pulled")


def _known(name: str) -> ModelSet:
    try:
        return model_set(name)
    except UnknownModelSet as error:
        raise typer.BadParameter(str(error), param_hint="NAME") from None


def _folder(name: str) -> Path:
    """A name that is also a folder here is taken for the folder only with a slash in it."""
    return Path(name) if "/" in name or name == "." else folder_of(_known(name))
