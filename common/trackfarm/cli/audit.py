"""`audit`: the log of changes and their authors."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from trackfarm.cli.console import out, print_json, say
from trackfarm.cli.options import JsonOption
from trackfarm.cli.session import administering

if TYPE_CHECKING:
    from trackfarm.access import AuditEntry
    from trackfarm.administration import Administration


def audit(
    job: Annotated[
        str | None, typer.Option(help="Only changes of this job (its id or a unique beginning).")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List changes and their authors, oldest first. With --json: one object per line."""
    from trackfarm.cli.access_tables import audit_table

    with administering() as farm:
        entries = list(_entries(farm, farm.job(job).id if job else None))
    if as_json:
        for entry in entries:
            print_json(entry)
    elif entries:
        out().print(audit_table(entries))
    else:
        say("no changes recorded yet")


def _entries(farm: "Administration", target: str | None) -> "Iterator[AuditEntry]":
    page = farm.audit(target=target)
    while page:
        yield from page
        page = farm.audit(target=target, after=page[-1].id)
