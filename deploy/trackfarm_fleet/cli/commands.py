"""`trackfarm fleet`: what can be rented, what is, what it costs; rent, drain, return, reap."""

import time
from contextlib import ExitStack
from dataclasses import replace
from typing import Annotated

import typer

from trackfarm.cli.console import complain, err, out, print_json, say
from trackfarm.cli.exits import ExitCode
from trackfarm.cli.options import JsonOption
from trackfarm.cli.session import ended
from trackfarm.embedded.interrupts import Interrupts
from trackfarm.printable import clean
from trackfarm.settings import SettingsError
from trackfarm.words import counted
from trackfarm_fleet.assembly import known_prices, open_providers
from trackfarm_fleet.books import bill, by_job, together
from trackfarm_fleet.cli import tables
from trackfarm_fleet.cli.options import (
    GpuOption,
    InterruptibleOption,
    MaxPriceOption,
    ProviderOption,
    farm_of,
    opened,
    settings_of,
)
from trackfarm_fleet.cli.returning import chosen_of, return_all
from trackfarm_fleet.cli.starting import agree, start
from trackfarm_fleet.mandate import DAY
from trackfarm_fleet.providers.port import Offer, Trouble
from trackfarm_fleet.settings import FleetSettings
from trackfarm_fleet.shelf import Asked, Shelf, at_large
from trackfarm_fleet.tags import Tags

fleet = typer.Typer(help="Rent machines, and give them back.", no_args_is_help=True)
TagsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[RENTAL]...", help="Their tags or ids. Default: all.", show_default=False
    ),
]


@fleet.callback()
def machines() -> None:
    """Rent machines, and give them back.

    Keys of providers and limits come from the environment (TRACKFARM_FLEET_..., RUNPOD_API_KEY,
    VAST_API_KEY). `trackfarm-fleet` does by itself what the farm's jobs need.
    """


@fleet.command()
def offers(
    provider: ProviderOption = None,
    gpu: GpuOption = None,
    interruptible: InterruptibleOption = False,
    max_price: MaxPriceOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what can be rented now, cheapest first. Needs no farm."""
    settings = settings_of(
        provider=provider, gpu=gpu, interruptible=interruptible, max_price=max_price, image="-"
    )
    found, shelf, troubles = _asked(settings)
    if wrong := shelf.misnamed(settings.gpus):
        raise ended(ExitCode.BAD_INPUT, clean(shelf.misnaming(wrong)))
    if as_json:
        print_json([tables.offer_document(offer) for offer in found])
    elif found:
        out().print(tables.offers_table(found))
    for trouble in troubles:
        complain(clean(trouble))
    if not found and not troubles:
        lack = shelf.lack(Asked(gpus=settings.gpus, max_price=settings.max_price))
        complain(clean(lack or "nothing like this is on offer"))
        complain("TRACKFARM_FLEET_HOSTS names machines of your own")
    raise typer.Exit(ExitCode.OK if found and not troubles else ExitCode.INCOMPLETE)


def _asked(settings: FleetSettings) -> tuple[list[Offer], Shelf, list[str]]:
    """What was asked for, what there is beside it, and who could not be asked."""
    seen: list[Offer] = []
    troubles: list[str] = []
    with ExitStack() as opening:
        try:
            providers = open_providers(settings, Tags("offers"), opening)
        except SettingsError as error:
            raise ended(ExitCode.BAD_INPUT, str(error)) from None
        for provider in providers:
            for query in dict.fromkeys([*settings.queries, *map(at_large, settings.queries)]):
                answer = provider.offers(query)
                if isinstance(answer, Trouble):
                    troubles.append(f"{provider.name}: {answer.detail}")
                    break
                seen += answer
    offers = {(offer.provider, offer.id, offer.interruptible): offer for offer in seen}
    shelf = Shelf(tuple(offers.values()), known_prices(), is_whole=not troubles)
    found = [o for o in shelf.offers if any(o.meets(query) for query in settings.queries)]
    return sorted(found, key=lambda offer: offer.price_per_hour), shelf, troubles


@fleet.command()
def up(
    machines: Annotated[int, typer.Option("--machines", "-n", min=1, help="How many.")] = 1,
    model_set: Annotated[str, typer.Option(help="What their workers serve.")] = "tiny",
    provider: ProviderOption = None,
    gpu: GpuOption = None,
    interruptible: InterruptibleOption = False,
    max_price: MaxPriceOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Rent machines, wait until their workers have joined, and leave them running.

    Nobody gives them back but you, by `trackfarm fleet down`, or `trackfarm-fleet` where it runs.
    """
    settings = settings_of(
        provider=provider,
        gpu=gpu,
        interruptible=interruptible,
        max_price=max_price,
        model_set=model_set,
        min_machines=machines,
        max_machines=machines,
    )
    with opened(settings) as (rented, _):
        mandate = replace(settings.mandate(), only=True)
        agree(rented, settings, mandate, yes=yes)
        with Interrupts() as interrupts:
            tick = settings.tick_seconds
            code = start(rented, mandate, tick, lambda: interrupts.asked, as_json=as_json)
    raise typer.Exit(code)


@fleet.command()
def status(as_json: JsonOption = False) -> None:
    """List the rentals that are not ended, who looks after them, and what they cost."""
    with farm_of() as farm:
        look = farm.situation(ended_since=time.time() - DAY)
    now, term, known = time.time(), look.term, look.rentals
    running = [rental for rental in known if rental.is_open]
    hourly = sum(rental.standing.price_per_hour for rental in running)
    today = bill(known, now)
    if as_json:
        rows = [rental.model_dump(mode="json") for rental in running]
        print_json(
            {
                "leader": term.holder if term.seconds else None,
                "dollars_per_hour": hourly,
                "dollars_of_the_last_day": today,
                "rentals": rows,
                "waiting": {d.model_set: sum(d.waiting.values()) for d in look.demands},
            }
        )
        return
    if running:
        out().print(tables.rentals_table(running, now))
    leader = clean(term.holder) if term.seconds else "no fleet process"
    say(
        f"{counted(len(running), 'rental')}, ${hourly:.3f} an hour, ${today:.2f} for those of the"
        f" last day; {leader} looks after them"
    )
    if not running and (unserved := tables.unserved_words(look.demands, led=term.seconds > 0)):
        say(unserved)


@fleet.command()
def drain(rentals: TagsArgument = None, as_json: JsonOption = False) -> None:
    """Give rentals no more work; their workers finish what they have. The fleet process returns
    the machines then, or `trackfarm fleet down` does."""
    with farm_of() as farm:
        drained = []
        for tag in chosen_of(farm.rentals(ended_since=time.time()), rentals):
            drained.append(farm.dismiss(tag, "drained by the operator"))
            farm.drain(tag)
    if as_json:
        print_json([rental.model_dump(mode="json") for rental in drained])
    else:
        say(f"{counted(len(drained), 'rental')} will get no more work")


@fleet.command()
def down(rentals: TagsArgument = None, as_json: JsonOption = False) -> None:
    """Drain rentals, give the machines back, and wait until their end was seen."""
    with farm_of() as farm:
        known = [r for r in farm.rentals(ended_since=time.time()) if r.is_open]
    chosen = chosen_of(known, rentals)
    if not chosen:
        say("no rental is left") if not as_json else print_json({"left": []})
        return
    settings = settings_of(provider=sorted({r.plan.provider for r in known}), image="-")
    with opened(settings) as (rented, farm), Interrupts() as interrupts:
        left = return_all(rented, farm, chosen, lambda: interrupts.asked)
    if as_json:
        print_json({"left": left})
    elif left:
        complain(f"{', '.join(left)} may still run: look at the provider's console")
    else:
        say("no rental is left")
    raise typer.Exit(ExitCode.INCOMPLETE if left else ExitCode.OK)


@fleet.command()
def reap(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which.")] = False,
    provider: ProviderOption = None,
    as_json: JsonOption = False,
) -> None:
    """End machines at the providers that bear this farm's tag and that no rental claims."""
    settings = settings_of(provider=provider, image="-")
    with opened(settings) as (rented, _):
        found = rented.orphans() if dry_run else rented.reap()
        if not dry_run:
            rented.resign()
    if as_json:
        print_json(
            [
                {"provider": o.instance.provider, "id": o.instance.id, "tag": o.instance.tag}
                | {"why": o.reason, "ended": not dry_run}
                for o in found
            ]
        )
        return
    for orphan in found:
        say(f"{orphan.instance.provider} {orphan.instance.id}: {clean(orphan.reason)}")
    err().print(f"{counted(len(found), 'orphan')} {'found' if dry_run else 'ended'}")


@fleet.command()
def cost(
    hours: Annotated[float, typer.Option(min=0, help="Rentals open or ended since then.")] = 24.0,
    as_json: JsonOption = False,
) -> None:
    """Say what rentals cost: by what it bought, by job, and a track."""
    now = time.time()
    with farm_of() as farm:
        stays = farm.stays(ended_since=max(now - 3600 * hours, 0.0))
    account, costs = together(stays, now), by_job(stays, now)
    if as_json:
        print_json(tables.account_document(account, costs))
        return
    out().print(tables.account_table(account))
    if costs:
        say("")
        out().print(tables.jobs_table(costs))
