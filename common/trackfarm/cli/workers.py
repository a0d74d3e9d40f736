"""`workers`: list, invite, drain and remove workers."""

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from trackfarm.cli.console import err, out, print_json, say
from trackfarm.cli.session import JsonOption, farm_connection
from trackfarm.text import clean, counted

if TYPE_CHECKING:
    from trackfarm.client import Client

workers = typer.Typer(
    help="List workers; invite machines to join; drain or remove a worker.",
    invoke_without_command=True,
)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
WorkerArgument = Annotated[str, typer.Argument(metavar="WORKER", help="Worker id or name.")]


def duration(text: str) -> float:
    """Return the seconds of `90s`, `30m`, `12h` or `7d`, at most 31 days.

    Raises typer.BadParameter.
    """
    from trackfarm.protocol.limits import MAX_INVITATION_SECONDS

    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip())
    if match is None:
        raise typer.BadParameter(f"{text!r} is not a duration; write 90s, 30m, 12h or 7d")
    seconds = timedelta(**{_UNITS[match[2]]: float(match[1])}).total_seconds()
    if not 0 < seconds <= MAX_INVITATION_SECONDS:
        raise typer.BadParameter(f"{text!r} is out of range; write a duration of at most 31 days")
    return seconds


@workers.callback()
def list_workers(context: typer.Context, as_json: JsonOption = False) -> None:
    """List workers; invite machines to join; drain or remove a worker."""
    if context.invoked_subcommand is not None:
        return
    from trackfarm.cli.tables import workers_table

    with farm_connection() as farm:
        records = farm.workers()
    if as_json:
        print_json(records)
    elif records:
        out().print(workers_table(records))
    else:
        say("no workers; invite one with `trackfarm workers invite`")


@workers.command()
def invite(
    uses: Annotated[int, typer.Option(min=1, max=10_000, help="How many workers may join.")] = 1,
    expires: Annotated[
        str, typer.Option(metavar="TIME", help="Lifetime of the invitation: 90s, 30m, 12h, 7d.")
    ] = "1h",
    provider: Annotated[str | None, typer.Option(help="Provider of the machine.")] = None,
    rental_tag: Annotated[
        str | None, typer.Option(help="The rental that the machine belongs to.")
    ] = None,
    price: Annotated[
        float | None, typer.Option(min=0, metavar="DOLLARS", help="Price of the machine per hour.")
    ] = None,
    note: Annotated[str, typer.Option(help="A note for yourself.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Create a token with which machines may join. It is shown only once.

    Provider, rental and price given here override the values that the machine reports.
    """
    from trackfarm.protocol.operator import InvitationRequest

    request = InvitationRequest(
        uses=uses,
        seconds=duration(expires),
        provider=provider,
        rental_tag=rental_tag,
        price_per_hour=price,
        note=note,
    )
    with farm_connection() as farm:
        invited = farm.invite(request)
        url = farm.url
    if as_json:
        print_json(invited)
        return
    until = f"{invited.invitation.expires_at.astimezone():%Y-%m-%d %H:%M}"
    err().print(f"{invited.invitation.id}: {counted(uses, 'worker')} may join until {until}")
    say(f"TRACKFARM_WORKER_SCHEDULER_URL={url}")
    say(f"TRACKFARM_WORKER_JOIN_TOKEN={invited.token}")


@workers.command()
def invitations(as_json: JsonOption = False) -> None:
    """List the invitations, newest first."""
    from trackfarm.cli.tables import invitations_table

    with farm_connection() as farm:
        records = farm.invitations()
    if as_json:
        print_json(records)
    elif records:
        out().print(invitations_table(records))
    else:
        say("no invitations; create one with `trackfarm workers invite`")


@workers.command()
def revoke(
    invitation: Annotated[str, typer.Argument(metavar="INVITATION", help="Invitation id.")],
    as_json: JsonOption = False,
) -> None:
    """Revoke an invitation; workers that joined with it stay."""
    with farm_connection() as farm:
        revoked = farm.revoke_invitation(invitation)
    if as_json:
        print_json(revoked)
    else:
        say(f"{revoked.id} is revoked")


@workers.command()
def drain(worker: WorkerArgument, as_json: JsonOption = False) -> None:
    """Drain a worker: it gets no new tracks and leaves after finishing its current ones."""
    with farm_connection() as farm:
        drained = farm.drain_worker(_id_of(farm, worker))
    if as_json:
        print_json(drained)
    else:
        say(f"{drained.id} ({clean(drained.name)}) is {drained.state.value}")


@workers.command()
def remove(worker: WorkerArgument, as_json: JsonOption = False) -> None:
    """Remove a worker: its tokens are void at once, its tracks go to other workers."""
    with farm_connection() as farm:
        removed = farm.remove_worker(_id_of(farm, worker))
    if as_json:
        print_json(removed)
    else:
        say(f"{removed.id} ({clean(removed.name)}) is {removed.state.value}")


def _id_of(farm: "Client", worker: str) -> str:
    """Return the id of the only worker of this name, else the argument itself."""
    named = [record.id for record in farm.workers() if record.name == worker]
    return named[0] if len(named) == 1 else worker
