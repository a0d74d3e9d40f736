"""Options shared by several commands and the settings that they override; connections, and checks
that end a command before money is spent."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from trackfarm import logs
from trackfarm.cli.console import ExitCode
from trackfarm.cli.session import command_error, configured_farm, exit_on_farm_errors
from trackfarm.model_sets import model_set
from trackfarm.settings import ClientSettingsError
from trackfarm.settings_errors import SETTINGS_ERRORS
from trackfarm.text import clean
from trackfarm_fleet.app import connect, open_reconciler
from trackfarm_fleet.autoscaler.models import ScalingDecision
from trackfarm_fleet.autoscaler.policy import RentalPolicy
from trackfarm_fleet.offers import OfferFilter
from trackfarm_fleet.reconciler import NotFleetLeader, Reconciler
from trackfarm_fleet.scheduler_client import FleetClient
from trackfarm_fleet.settings import FleetSettings, settings_problem

ProviderOption = Annotated[
    list[str] | None,
    typer.Option("--provider", help="runpod, vast, local or manual; may be repeated."),
]
GpuOption = Annotated[
    list[str] | None,
    typer.Option("--gpu", help="GPU name as the provider spells it; may be repeated. Default: any"),
]
InterruptibleOption = Annotated[
    bool,
    typer.Option("--interruptible", help="Also bid for interruptible machines (Vast)."),
]
MaxPriceOption = Annotated[
    float | None,
    typer.Option(min=0.001, metavar="DOLLARS", help="Highest price of a machine per hour."),
]

_FLAGS = {"providers": "--provider", "gpus": "--gpu", "max_price": "--max-price"}


def fleet_settings(
    *,
    provider: list[str] | None,
    gpu: list[str] | None = None,
    interruptible: bool = False,
    max_price: float | None = None,
    **overrides: Any,
) -> FleetSettings:
    """Return the settings from the environment, overridden by the command line."""
    values: Mapping[str, Any] = {
        "providers": tuple(provider) if provider else None,
        "gpus": tuple(gpu) if gpu else None,
        "interruptible": "also" if interruptible else None,
        "max_price": max_price,
        **overrides,
    }
    try:
        return FleetSettings(**{name: value for name, value in values.items() if value is not None})
    except SETTINGS_ERRORS as error:
        options = {name: flag for name, flag in _FLAGS.items() if values.get(name) is not None}
        raise command_error(ExitCode.BAD_INPUT, clean(settings_problem(error, options))) from None


@contextmanager
def open_fleet(settings: FleetSettings) -> Iterator[tuple[Reconciler, FleetClient]]:
    """Yield the reconciler of the configured farm, and its client; end the command if it is
    unusable."""
    logs.configure(settings.log_format, "warning")
    with open_farm() as farm:
        try:
            with open_reconciler(settings, farm) as fleet:
                yield fleet, farm
        except ClientSettingsError as error:
            raise command_error(ExitCode.BAD_INPUT, str(error)) from None
        except NotFleetLeader as error:
            remedy = "stop it, or let it rent: `trackfarm submit` with --deadline and --budget"
            raise command_error(ExitCode.REFUSED, f"{error}; {remedy}") from None


@contextmanager
def open_farm() -> Iterator[FleetClient]:
    """Yield the scheduler's client alone, for commands that need no provider."""
    address = configured_farm()
    with exit_on_farm_errors():
        try:
            farm = connect(address)
        except ClientSettingsError as error:
            raise command_error(ExitCode.BAD_INPUT, str(error)) from None
        with farm:
            yield farm


def confirm(question: str, *, yes: bool) -> None:
    """Return if the operator agrees, by --yes or at the prompt; end the command otherwise."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise command_error(
            ExitCode.BAD_INPUT,
            "cannot ask for confirmation because standard input is not a terminal: add --yes;"
            " nothing was rented",
        )
    typer.confirm(question, abort=True, err=True)


def refuse_unready(fleet: Reconciler, policy: RentalPolicy) -> None:
    """End the command if a requested GPU has a name that no provider uses. Raises
    ClientSettingsError if no start command can be made."""
    fleet.check_start_command()
    gpus = list(dict.fromkeys(gpu for query in policy.queries for gpu in query.gpus))
    if not gpus:
        return
    catalog = fleet.catalog(policy)
    if unknown := catalog.unknown_gpus(gpus):
        raise command_error(ExitCode.BAD_INPUT, clean(catalog.explain_unknown_gpus(unknown)))


def refuse_empty_decision(
    fleet: Reconciler,
    settings: FleetSettings,
    policy: RentalPolicy,
    decision: ScalingDecision,
    *,
    vram: int = 0,
) -> None:
    """End the command if nothing can be rented and we have no machines; `vram` is the least memory
    that the tracks need, in nominal GB."""
    if decision.rent or decision.keep:
        return
    request = OfferFilter(
        gpus=settings.gpus,
        vram=max(vram, model_set(settings.model_set).min_vram),
        max_price=settings.max_price,
        budget=policy.budget,
    )
    why = fleet.catalog(policy).explain_no_rental(request, decision)
    raise command_error(ExitCode.INCOMPLETE, clean(f"no machine can be rented: {why}"))
