"""`keys`: the API keys of the farm. `audit`: the log of changes and their authors."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from trackfarm.cli.console import ExitCode, err, out, print_json, say
from trackfarm.cli.session import JsonOption, admin_connection, command_error
from trackfarm.protocol.accounts import DEFAULT_RATE, MOST_RATE, ApiKeyInfo, AuditEntry, Scope
from trackfarm.text import clean, one_line

if TYPE_CHECKING:
    from trackfarm.client.admin import Administration

keys = typer.Typer(name="keys", help="Create, list and revoke API keys.", no_args_is_help=True)
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="Name or id of the key.")]


def lifetime(text: str) -> timedelta:
    """Return `30d`, `12h`, `90m` or `2w` as a time span. Raises typer.BadParameter."""
    match = re.fullmatch(r"([1-9]\d{0,5})([mhdw])", text.strip())
    if match is None:
        raise typer.BadParameter(f"{text!r} is not a lifetime; write 90m, 12h, 30d or 2w")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


@keys.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name for the key.")],
    scope: Annotated[
        list[Scope], typer.Option(help="A permission of the key; repeat for several.")
    ],
    owner: Annotated[
        str | None, typer.Option(help="Owner of the jobs created with the key; default: NAME.")
    ] = None,
    expires: Annotated[
        timedelta | None,
        typer.Option(
            parser=lifetime, metavar="30d", help="Lifetime of the key; default: unlimited."
        ),
    ] = None,
    rate: Annotated[
        int, typer.Option(min=1, max=MOST_RATE, help="Requests per minute.")
    ] = DEFAULT_RATE,
    tracks: Annotated[
        int | None, typer.Option(min=0, help="Limit of unfinished tracks; default: none.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Create a key and print its secret, which cannot be shown again."""
    from pydantic import ValidationError

    from trackfarm.protocol.accounts import KeyRequest

    try:
        request = KeyRequest(
            name=name,
            scopes=scope,
            owner=owner,
            expires_at=datetime.now(UTC) + expires if expires else None,
            rate=rate,
            most_tracks=tracks,
        )
    except ValidationError as error:
        mistakes = "; ".join(f"{e['loc'][0]}: {e['msg']}" for e in error.errors())
        raise command_error(ExitCode.BAD_INPUT, mistakes) from None
    with admin_connection() as farm:
        created = farm.make_key(request)
    if as_json:
        print_json(created)
        return
    scopes = ", ".join(created.key.scopes)
    say(created.secret)
    err().print(f"key {created.key.id} ({created.key.name}) for {created.key.owner}: {scopes}")
    err().print("store the secret now; it cannot be shown again", style="yellow")


@keys.command("list")
def list_keys(as_json: JsonOption = False) -> None:
    """List the keys, oldest first."""
    with admin_connection() as farm:
        all_keys = farm.keys()
    if as_json:
        print_json(all_keys)
    elif all_keys:
        out().print(keys_table(all_keys, datetime.now(UTC)))
    else:
        say(
            "no keys besides the root key; create one with"
            " `trackfarm keys create NAME --scope read`"
        )


@keys.command()
def revoke(key: KeyArgument, as_json: JsonOption = False) -> None:
    """Revoke a key: at once on this scheduler, within seconds on others."""
    with admin_connection() as farm:
        revoked = farm.revoke_key(key)
    if as_json:
        print_json(revoked)
    else:
        say(f"{revoked.id} ({clean(revoked.name)}) is revoked")


def audit(
    job: Annotated[
        str | None, typer.Option(help="Only changes of this job (its id or a unique beginning).")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List changes and their authors, oldest first. With --json: one object per line."""
    with admin_connection() as farm:
        entries = list(_entries(farm, farm.job(job).id if job else None))
    if as_json:
        for entry in entries:
            print_json(entry)
    elif entries:
        out().print(audit_table(entries))
    else:
        say("no changes recorded yet")


def keys_table(keys: Sequence[ApiKeyInfo], now: datetime) -> Table:
    table = _table("key", "name", "owner", "scopes", "rate", "tracks", "state", "last used")
    for key in keys:
        most = "" if key.most_tracks is None else f"{key.most_tracks:,}"
        table.add_row(
            key.id,
            clean(key.name),
            clean(key.owner),
            " ".join(key.scopes),
            f"{key.rate:,}/min",
            most,
            state_of(key, now),
            "never" if key.last_used_at is None else _moment(key.last_used_at),
        )
    return table


def state_of(key: ApiKeyInfo, now: datetime) -> str:
    """Return the key's state in words: active, revoked, expired, or valid until a time."""
    if key.revoked_at is not None:
        return f"revoked {_moment(key.revoked_at)}"
    if key.expires_at is None:
        return "active"
    word = "until" if key.expires_at > now else "expired"
    return f"{word} {_moment(key.expires_at)}"


def audit_table(entries: Sequence[AuditEntry]) -> Table:
    table = _table("at", "by", "from", "action", "target", "outcome")
    for entry in entries:
        actor = entry.key_name or entry.worker_id or "?"
        words = (actor, entry.address, entry.action, entry.target, entry.outcome)
        table.add_row(_moment(entry.at), *(one_line(word) for word in words))
    return table


def _moment(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}"


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading)
    return table


def _entries(farm: "Administration", target: str | None) -> "Iterator[AuditEntry]":
    page = farm.audit(target=target)
    while page:
        yield from page
        page = farm.audit(target=target, after=page[-1].id)
