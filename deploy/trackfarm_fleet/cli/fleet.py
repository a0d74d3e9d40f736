"""`trackfarm fleet`: list offers, rentals and costs; rent, drain, return and clean up machines."""

import time
from contextlib import ExitStack
from dataclasses import replace
from typing import Annotated

import typer

from trackfarm.cli.console import ExitCode, complain, err, out, print_json, say
from trackfarm.cli.session import JsonOption, command_error
from trackfarm.embedded.signals import SignalFlags
from trackfarm.model_sets import DEFAULT_MODEL_SET
from trackfarm.settings import ClientSettingsError
from trackfarm.text import clean, counted
from trackfarm_fleet.app import known_prices, open_providers
from trackfarm_fleet.autoscaler.policy import DAY
from trackfarm_fleet.billing.job_costs import costs_by_job, total_breakdown, total_cost
from trackfarm_fleet.cli import tables
from trackfarm_fleet.cli.options import (
    GpuOption,
    InterruptibleOption,
    MaxPriceOption,
    ProviderOption,
    fleet_settings,
    open_farm,
    open_fleet,
)
from trackfarm_fleet.cli.start_stop import (
    confirm_rental,
    rent_until_joined,
    return_rentals,
    select_tags,
)
from trackfarm_fleet.offers import OfferCatalog, OfferFilter, without_limits
from trackfarm_fleet.providers.base import MachineOffer, ProviderError
from trackfarm_fleet.rentals.tags import Tags
from trackfarm_fleet.settings import FleetSettings

fleet = typer.Typer(help="Rent machines and return them.", no_args_is_help=True)
TagsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[RENTAL]...", help="Tags or ids of rentals. Default: all.", show_default=False
    ),
]


@fleet.callback()
def machines() -> None:
    """Rent machines and return them.

    API keys of providers and limits come from the environment (TRACKFARM_FLEET_..., RUNPOD_API_KEY,
    VAST_API_KEY). `trackfarm-fleet` rents and returns machines automatically, as the farm's jobs
    need them.
    """


@fleet.command()
def offers(
    provider: ProviderOption = None,
    gpu: GpuOption = None,
    interruptible: InterruptibleOption = False,
    max_price: MaxPriceOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the machines that can be rented now, cheapest first. Needs no farm."""
    settings = fleet_settings(
        provider=provider, gpu=gpu, interruptible=interruptible, max_price=max_price, image="-"
    )
    matching, catalog, errors = _query(settings)
    if unknown := catalog.unknown_gpus(settings.gpus):
        raise command_error(ExitCode.BAD_INPUT, clean(catalog.explain_unknown_gpus(unknown)))
    if as_json:
        print_json([tables.offer_document(offer) for offer in matching])
    elif matching:
        out().print(tables.offers_table(matching))
    for error in errors:
        complain(clean(error))
    if not matching and not errors:
        explanation = catalog.explain_no_offer(
            OfferFilter(gpus=settings.gpus, max_price=settings.max_price)
        )
        complain(clean(explanation or "no offer matches"))
        complain("to use your own machines, set TRACKFARM_FLEET_HOSTS")
    raise typer.Exit(ExitCode.OK if matching and not errors else ExitCode.INCOMPLETE)


def _query(settings: FleetSettings) -> tuple[list[MachineOffer], OfferCatalog, list[str]]:
    """Query the providers; return the matching offers, all offers, and the errors of failed
    queries."""
    listed: list[MachineOffer] = []
    errors: list[str] = []
    with ExitStack() as opening:
        try:
            providers = open_providers(settings, Tags("offers"), opening)
        except ClientSettingsError as error:
            raise command_error(ExitCode.BAD_INPUT, str(error)) from None
        for provider in providers:
            for query in dict.fromkeys([*settings.queries, *map(without_limits, settings.queries)]):
                answer = provider.offers(query)
                if isinstance(answer, ProviderError):
                    errors.append(f"{provider.name}: {answer.detail}")
                    break
                listed += answer
    offers = {(offer.provider, offer.id, offer.interruptible): offer for offer in listed}
    catalog = OfferCatalog(tuple(offers.values()), known_prices(), is_complete=not errors)
    matching = [o for o in catalog.offers if any(o.matches(query) for query in settings.queries)]
    return sorted(matching, key=lambda offer: offer.price_per_hour), catalog, errors


@fleet.command()
def up(
    machines: Annotated[
        int, typer.Option("--machines", "-n", min=1, help="Number of machines.")
    ] = 1,
    model_set: Annotated[
        str, typer.Option(help="Model set that the workers load.")
    ] = DEFAULT_MODEL_SET,
    provider: ProviderOption = None,
    gpu: GpuOption = None,
    interruptible: InterruptibleOption = False,
    max_price: MaxPriceOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Rent machines, wait until their workers have joined, and leave them running.

    They cost money until `trackfarm fleet down` returns them, or `trackfarm-fleet` if it runs.
    """
    settings = fleet_settings(
        provider=provider,
        gpu=gpu,
        interruptible=interruptible,
        max_price=max_price,
        model_set=model_set,
        min_machines=machines,
        max_machines=machines,
    )
    with open_fleet(settings) as (reconciler, _):
        policy = replace(settings.rental_policy(), is_exclusive=True)
        confirm_rental(reconciler, settings, policy, yes=yes)
        with SignalFlags() as interrupts:
            code = rent_until_joined(
                reconciler,
                policy,
                settings.tick_seconds,
                lambda: interrupts.requested,
                as_json=as_json,
            )
    raise typer.Exit(code)


@fleet.command()
def status(as_json: JsonOption = False) -> None:
    """List the open rentals with their cost, and the fleet process that manages them."""
    with open_farm() as farm:
        state = farm.fleet_state(ended_since=time.time() - DAY)
    now, lease, rentals = time.time(), state.lease, state.rentals
    running = [rental for rental in rentals if rental.is_open]
    hourly = sum(rental.status.price_per_hour for rental in running)
    last_day = total_cost(rentals, now)
    if as_json:
        rows = [rental.model_dump(mode="json") for rental in running]
        print_json(
            {
                "leader": lease.holder if lease.seconds else None,
                "dollars_per_hour": hourly,
                "dollars_of_the_last_day": last_day,
                "rentals": rows,
                "waiting": {d.model_set: sum(d.waiting.values()) for d in state.demands},
            }
        )
        return
    if running:
        out().print(tables.rentals_table(running, now))
    leader = f"fleet process {clean(lease.holder)}" if lease.seconds else "no fleet process runs"
    say(
        f"{counted(len(running), 'rental')}, ${hourly:.3f} an hour; rentals of the last day:"
        f" ${last_day:.2f}; {leader}"
    )
    if not running and (unserved := tables.unserved_words(state.demands, is_led=lease.seconds > 0)):
        say(unserved)


@fleet.command()
def drain(rentals: TagsArgument = None, as_json: JsonOption = False) -> None:
    """Give rentals no more work; their workers finish the current work. The machines are then
    returned by the fleet process, or by `trackfarm fleet down`."""
    with open_farm() as farm:
        draining = []
        for tag in select_tags(farm.rentals(ended_since=time.time()), rentals):
            draining.append(farm.request_release(tag, "drained by the operator"))
            farm.drain(tag)
    if as_json:
        print_json([rental.model_dump(mode="json") for rental in draining])
    else:
        say(f"{counted(len(draining), 'rental')} will get no more work")


@fleet.command()
def down(rentals: TagsArgument = None, as_json: JsonOption = False) -> None:
    """Drain rentals, return the machines, and wait until they are confirmed to be gone."""
    with open_farm() as farm:
        open_rentals = [r for r in farm.rentals(ended_since=time.time()) if r.is_open]
    tags = select_tags(open_rentals, rentals)
    if not tags:
        say("no open rentals") if not as_json else print_json({"left": []})
        return
    settings = fleet_settings(provider=sorted({r.plan.provider for r in open_rentals}), image="-")
    with open_fleet(settings) as (reconciler, farm), SignalFlags() as interrupts:
        still_open = return_rentals(reconciler, farm, tags, lambda: interrupts.requested)
    if as_json:
        print_json({"left": still_open})
    elif still_open:
        complain(f"{', '.join(still_open)} may still be running: check the provider's console")
    else:
        say("no open rentals")
    raise typer.Exit(ExitCode.INCOMPLETE if still_open else ExitCode.OK)


@fleet.command()
def reap(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list them.")] = False,
    provider: ProviderOption = None,
    as_json: JsonOption = False,
) -> None:
    """End orphaned machines: machines at the providers with this farm's tag but without an open
    rental."""
    settings = fleet_settings(provider=provider, image="-")
    with open_fleet(settings) as (reconciler, _):
        orphans = reconciler.find_orphans() if dry_run else reconciler.terminate_orphans()
        if not dry_run:
            reconciler.release_lease()
    if as_json:
        print_json(
            [
                {"provider": o.instance.provider, "id": o.instance.id, "tag": o.instance.tag}
                | {"why": o.reason, "ended": not dry_run}
                for o in orphans
            ]
        )
        return
    for orphan in orphans:
        say(f"{orphan.instance.provider} {orphan.instance.id}: {clean(orphan.reason)}")
    err().print(f"{counted(len(orphans), 'orphan')} {'found' if dry_run else 'command_error'}")


@fleet.command()
def cost(
    hours: Annotated[
        float, typer.Option(min=0, help="Count rentals open or ended within so many hours.")
    ] = 24.0,
    as_json: JsonOption = False,
) -> None:
    """Show the cost of rentals: by category (work, boot, idle, waste), by job, and per track."""
    now = time.time()
    with open_farm() as farm:
        usages = farm.usage(ended_since=max(now - 3600 * hours, 0.0))
    breakdown, costs = total_breakdown(usages, now), costs_by_job(usages, now)
    if as_json:
        print_json(tables.cost_document(breakdown, costs))
        return
    out().print(tables.cost_table(breakdown))
    if costs:
        say("")
        out().print(tables.jobs_table(costs))
