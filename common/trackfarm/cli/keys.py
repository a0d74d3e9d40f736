"""`keys`: who may call the farm's API."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from trackfarm.access import DEFAULT_RATE, MOST_RATE, Scope
from trackfarm.cli.console import err, out, print_json, say
from trackfarm.cli.exits import ExitCode
from trackfarm.cli.options import JsonOption
from trackfarm.cli.session import administering, ended
from trackfarm.printable import clean

keys = typer.Typer(name="keys", help="Make, list and revoke API keys.", no_args_is_help=True)
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="Name or id of the key.")]


def lifetime(text: str) -> timedelta:
    """`30d`, `12h`, `90m` or `2w` as a time span. Raises typer.BadParameter."""
    match = re.fullmatch(r"([1-9]\d{0,5})([mhdw])", text.strip())
    if match is None:
        raise typer.BadParameter("say it as 90m, 12h, 30d or 2w")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


@keys.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the key is called here.")],
    scope: Annotated[list[Scope], typer.Option(help="What it may do; may be given again.")],
    owner: Annotated[
        str | None, typer.Option(help="Whose jobs these are; left out, those of NAME.")
    ] = None,
    expires: Annotated[
        timedelta | None,
        typer.Option(parser=lifetime, metavar="30d", help="When it ends; left out, never."),
    ] = None,
    rate: Annotated[
        int, typer.Option(min=1, max=MOST_RATE, help="Requests a minute.")
    ] = DEFAULT_RATE,
    tracks: Annotated[
        int | None, typer.Option(min=0, help="Unfinished tracks at a time; left out, any number.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and print its secret, this once."""
    from pydantic import ValidationError

    from trackfarm.access import KeyRequest

    try:
        wanted = KeyRequest(
            name=name,
            scopes=scope,
            owner=owner,
            expires_at=datetime.now(UTC) + expires if expires else None,
            rate=rate,
            most_tracks=tracks,
        )
    except ValidationError as error:
        flaws = "; ".join(f"{e['loc'][0]}: {e['msg']}" for e in error.errors())
        raise ended(ExitCode.BAD_INPUT, flaws) from None
    with administering() as farm:
        made = farm.make_key(wanted)
    if as_json:
        print_json(made)
        return
    scopes = ", ".join(made.key.scopes)
    say(made.secret)
    err().print(f"key {made.key.id} ({made.key.name}) for {made.key.owner}: {scopes}")
    err().print("store it now: nobody can show it again", style="yellow")


@keys.command("list")
def list_keys(as_json: JsonOption = False) -> None:
    """List the keys, oldest first."""
    from trackfarm.cli.access_tables import keys_table

    with administering() as farm:
        found = farm.keys()
    if as_json:
        print_json(found)
    elif found:
        out().print(keys_table(found, datetime.now(UTC)))
    else:
        say("no keys yet but the root key; make one with `trackfarm keys create NAME --scope read`")


@keys.command()
def revoke(key: KeyArgument, as_json: JsonOption = False) -> None:
    """End a key: at once on this scheduler, within seconds on others."""
    with administering() as farm:
        revoked = farm.revoke_key(key)
    if as_json:
        print_json(revoked)
    else:
        say(f"{revoked.id} ({clean(revoked.name)}) is revoked")
