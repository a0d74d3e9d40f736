"""`keys`: API keys of the farm."""

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

    from trackfarm.access import KeyRequest

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
        raise ended(ExitCode.BAD_INPUT, mistakes) from None
    with administering() as farm:
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
    from trackfarm.cli.access_tables import keys_table

    with administering() as farm:
        all_keys = farm.keys()
    if as_json:
        print_json(all_keys)
    elif all_keys:
        out().print(keys_table(all_keys, datetime.now(UTC)))
    else:
        say(
            "no keys besides the root key; create one with `trackfarm keys create NAME --scope read`"
        )


@keys.command()
def revoke(key: KeyArgument, as_json: JsonOption = False) -> None:
    """Revoke a key: at once on this scheduler, within seconds on others."""
    with administering() as farm:
        revoked = farm.revoke_key(key)
    if as_json:
        print_json(revoked)
    else:
        say(f"{revoked.id} ({clean(revoked.name)}) is revoked")
