"""`audit`: who changed what."""

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
        str | None, typer.Option(help="Only what was done to this job (any unique beginning).")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show who changed what, oldest first. With --json: one object a line."""
    from trackfarm.cli.access_tables import audit_table

    with administering() as farm:
        found = list(_entries(farm, farm.job(job).id if job else None))
    if as_json:
        for entry in found:
            print_json(entry)
    elif found:
        out().print(audit_table(found))
    else:
        say("nobody has changed anything yet")


def _entries(farm: "Administration", target: str | None) -> "Iterator[AuditEntry]":
    page = farm.audit(target=target)
    while page:
        yield from page
        page = farm.audit(target=target, after=page[-1].id)
