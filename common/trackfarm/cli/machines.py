"""`workers`: who makes the tracks, who may join, who has to go."""

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from trackfarm.cli.console import err, out, print_json, say
from trackfarm.cli.options import JsonOption
from trackfarm.cli.session import connected
from trackfarm.printable import clean
from trackfarm.words import counted

if TYPE_CHECKING:
    from trackfarm.client import Client

workers = typer.Typer(
    help="List the workers; let machines join; end a worker.", invoke_without_command=True
)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
WorkerArgument = Annotated[str, typer.Argument(metavar="WORKER", help="Its id, or its name.")]


def duration(text: str) -> float:
    """Seconds of `90s`, `30m`, `12h` or `7d`; a month at most."""
    from trackfarm.api import LONGEST_INVITATION

    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip())
    if match is None:
        raise typer.BadParameter(f"{text!r} is no duration; write 90s, 30m, 12h or 7d")
    seconds = timedelta(**{_UNITS[match[2]]: float(match[1])}).total_seconds()
    if not 0 < seconds <= LONGEST_INVITATION:
        raise typer.BadParameter(f"{text!r} is not between a second and 31 days")
    return seconds


@workers.callback()
def list_workers(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the workers; let machines join; end a worker."""
    if context.invoked_subcommand is not None:
        return
    from trackfarm.cli.tables import workers_table

    with connected() as farm:
        found = farm.workers()
    if as_json:
        print_json(found)
    elif found:
        out().print(workers_table(found))
    else:
        say("no worker is here; `trackfarm workers invite` lets one join")


@workers.command()
def invite(
    uses: Annotated[int, typer.Option(min=1, max=10_000, help="How many workers may join.")] = 1,
    expires: Annotated[
        str, typer.Option(metavar="TIME", help="How long it holds: 90s, 30m, 12h, 7d.")
    ] = "1h",
    provider: Annotated[str | None, typer.Option(help="Whose machine it is.")] = None,
    rental_tag: Annotated[str | None, typer.Option(help="The rental that it belongs to.")] = None,
    price: Annotated[
        float | None, typer.Option(min=0, metavar="DOLLARS", help="What it costs an hour.")
    ] = None,
    note: Annotated[str, typer.Option(help="For your own memory.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Make a token with which a machine may join. It is shown once.

    What is said here of provider, rental and price holds, whatever the machine claims.
    """
    from trackfarm.api import InvitationRequest

    request = InvitationRequest(
        uses=uses,
        seconds=duration(expires),
        provider=provider,
        rental_tag=rental_tag,
        price_per_hour=price,
        note=note,
    )
    with connected() as farm:
        made = farm.invite(request)
        url = farm.url
    if as_json:
        print_json(made)
        return
    until = f"{made.invitation.expires_at.astimezone():%Y-%m-%d %H:%M}"
    err().print(f"{made.invitation.id} lets {counted(uses, 'worker')} join until {until}")
    say(f"TRACKFARM_WORKER_SCHEDULER_URL={url}")
    say(f"TRACKFARM_WORKER_JOIN_TOKEN={made.token}")


@workers.command()
def invitations(as_json: JsonOption = False) -> None:
    """List the invitations, newest first."""
    from trackfarm.cli.tables import invitations_table

    with connected() as farm:
        found = farm.invitations()
    if as_json:
        print_json(found)
    elif found:
        out().print(invitations_table(found))
    else:
        say("nobody was invited yet; `trackfarm workers invite` makes a token")


@workers.command()
def revoke(
    invitation: Annotated[str, typer.Argument(metavar="INVITATION", help="Its id.")],
    as_json: JsonOption = False,
) -> None:
    """Let nobody join by an invitation any more; who has joined stays."""
    with connected() as farm:
        revoked = farm.revoke_invitation(invitation)
    if as_json:
        print_json(revoked)
    else:
        say(f"{revoked.id} lets nobody join any more")


@workers.command()
def drain(worker: WorkerArgument, as_json: JsonOption = False) -> None:
    """Give a worker no more tracks; it leaves when it has finished those it has."""
    with connected() as farm:
        drained = farm.drain_worker(_id_of(farm, worker))
    if as_json:
        print_json(drained)
    else:
        say(f"{drained.id} ({clean(drained.name)}) is {drained.state.value}")


@workers.command()
def remove(worker: WorkerArgument, as_json: JsonOption = False) -> None:
    """End a worker for good: its tokens are void at once, its tracks are made by others."""
    with connected() as farm:
        removed = farm.remove_worker(_id_of(farm, worker))
    if as_json:
        print_json(removed)
    else:
        say(f"{removed.id} ({clean(removed.name)}) is {removed.state.value}")


def _id_of(farm: "Client", worker: str) -> str:
    """The id of the one worker of this name, else what was said."""
    named = [found.id for found in farm.workers() if found.name == worker]
    return named[0] if len(named) == 1 else worker
