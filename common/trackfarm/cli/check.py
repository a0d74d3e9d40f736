"""`check`, and the check of a catalog file before anything is sent."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trackfarm.cli.console import ExitCode, complain, print_json, say
from trackfarm.cli.session import CatalogArgument, JsonOption, command_error
from trackfarm.text import clean, counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trackfarm.catalog import Catalog, CatalogCheck
    from trackfarm.model_sets import ModelSet


def check(
    catalog: CatalogArgument,
    model_set: Annotated[
        str | None,
        typer.Option(help="Check that it can make the briefs; default: the catalog's, if any."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Validate a catalog and report its size. Needs no farm."""
    checked = check_file(catalog, model_set)
    if as_json:
        print_json(checked.document())
    else:
        print_check(checked)
    if checked.check.problem_count:
        raise typer.Exit(ExitCode.BAD_INPUT)


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """A catalog file and the result of its check. `notes`: limits of its model set."""

    path: Path
    check: "CatalogCheck"
    notes: "Sequence[str]" = ()

    def document(self) -> dict[str, Any]:
        """Return the check as JSON; each problem has its fields and its text."""
        problems = [asdict(problem) | {"text": str(problem)} for problem in self.check.problems]
        return {
            "problem_count": self.check.problem_count,
            "problems": problems,
            "notes": list(self.notes),
            "briefs": self.check.brief_count,
            "tracks": self.check.track_count,
            "audio_seconds": self.check.audio_seconds,
        }


def check_file(path: Path, model_set: str | None, default: str | None = None) -> CheckedFile:
    """Return the check of the whole catalog, or of the part before it becomes unreadable.

    It includes whether `model_set` could make the briefs, else the catalog's own, else `default`;
    without any of them, this is not checked. Ends the command for an unknown model set.
    """
    from trackfarm.catalog import CatalogCheck, CatalogError, open_catalog

    try:
        catalog = open_catalog(path)
        if name := model_set or catalog.model_set or default:
            return _check_for_model_set(catalog, _known(name))
        return CheckedFile(path, catalog.check())
    except CatalogError as error:
        unread = CatalogCheck(
            name=path.stem,
            model_set=None,
            problems=error.problems,
            problem_count=error.count,
            brief_count=0,
            track_count=0,
            audio_seconds=0.0,
        )
        return CheckedFile(path, unread)


def _check_for_model_set(catalog: "Catalog", kind: "ModelSet") -> CheckedFile:
    from trackfarm.planning import BriefNotes, ModelSetCheck

    notes = BriefNotes(kind.name)
    check = catalog.check(ModelSetCheck(kind, str(catalog.path), notes).inspect)
    return CheckedFile(catalog.path, check, notes.texts())


def _known(name: str) -> "ModelSet":
    from trackfarm.model_sets import UnknownModelSet, model_set

    try:
        return model_set(name)
    except UnknownModelSet as error:
        raise command_error(ExitCode.BAD_INPUT, clean(str(error))) from None


def require_valid_catalog(path: Path, model_set: str | None, *, as_json: bool) -> None:
    """End the command, with every mistake on stderr, unless the catalog is valid.

    Its notes are printed, but not between lines of JSON.
    """
    from trackfarm.model_sets import DEFAULT_MODEL_SET

    checked = check_file(path, model_set, DEFAULT_MODEL_SET)
    if checked.check.problem_count:
        print_problems(checked)
        complain("nothing was sent")
        raise typer.Exit(ExitCode.BAD_INPUT)
    if not as_json:
        print_notes(checked)


def print_check(checked: CheckedFile) -> None:
    """Print the size of a valid catalog and the notes on it, or its problems."""
    check = checked.check
    if check.problem_count:
        print_problems(checked)
        return
    say(
        f"{checked.path} is valid: {counted(check.brief_count, 'brief')},"
        f" {counted(check.track_count, 'track')}, {check.audio_seconds / 60:,.1f} min of audio"
    )
    print_notes(checked)


def print_problems(checked: CheckedFile) -> None:
    from trackfarm.catalog.errors import grouped

    check = checked.check
    for line in grouped(check.problems):
        complain(clean(line))
    left_out = check.problem_count - len(check.problems)
    more = f", the first {len(check.problems):,} are above" if left_out else ""
    complain(f"{counted(check.problem_count, 'mistake')} in {checked.path}{more}")


def print_notes(checked: CheckedFile) -> None:
    for note in checked.notes:
        say(clean(note), style="yellow")
