"""Options shared by several commands, and the settings that they override.

Confirmation before money is spent, and checks that end the command early.
"""

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
from trackfarm_fleet.app import assembled, connection
from trackfarm_fleet.autoscaler.models import ScalingDecision
from trackfarm_fleet.autoscaler.policy import RentalPolicy
from trackfarm_fleet.offers import OfferFilter
from trackfarm_fleet.reconciler import NotFleetLeader, Reconciler
from trackfarm_fleet.scheduler_client import FleetClient
from trackfarm_fleet.settings import FleetSettings, complaint

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


def settings_of(
    *,
    provider: list[str] | None,
    gpu: list[str] | None = None,
    interruptible: bool = False,
    max_price: float | None = None,
    **more: Any,
) -> FleetSettings:
    """Return the settings from the environment, overridden by the command line."""
    overrides: Mapping[str, Any] = {
        "providers": tuple(provider) if provider else None,
        "gpus": tuple(gpu) if gpu else None,
        "interruptible": "also" if interruptible else None,
        "max_price": max_price,
        **more,
    }
    try:
        return FleetSettings(
            **{name: value for name, value in overrides.items() if value is not None}
        )
    except SETTINGS_ERRORS as error:
        options = {name: flag for name, flag in _FLAGS.items() if overrides.get(name) is not None}
        raise command_error(ExitCode.BAD_INPUT, clean(complaint(error, options))) from None


@contextmanager
def opened(settings: FleetSettings) -> Iterator[tuple[Reconciler, FleetClient]]:
    """Yield the fleet of the configured farm; end the command if it is unusable."""
    logs.configure(settings.log_format, "warning")
    with farm_of() as farm:
        try:
            with assembled(settings, farm) as fleet:
                yield fleet, farm
        except ClientSettingsError as error:
            raise command_error(ExitCode.BAD_INPUT, str(error)) from None
        except NotFleetLeader as error:
            remedy = "stop it, or let it rent: `trackfarm submit` with --deadline and --budget"
            raise command_error(ExitCode.REFUSED, f"{error}; {remedy}") from None


@contextmanager
def farm_of() -> Iterator[FleetClient]:
    """Yield the scheduler's client alone, for commands that need no provider."""
    address = configured_farm()
    with exit_on_farm_errors():
        try:
            farm = connection(address)
        except ClientSettingsError as error:
            raise command_error(ExitCode.BAD_INPUT, str(error)) from None
        with farm:
            yield farm


def agreed(question: str, *, yes: bool) -> None:
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


def refuse_unready(fleet: Reconciler, mandate: RentalPolicy) -> None:
    """End the command if a requested GPU has a name that no provider uses. Raises SettingsError if
    no start command can be made."""
    fleet.check()
    gpus = list(dict.fromkeys(gpu for query in mandate.queries for gpu in query.gpus))
    if not gpus:
        return
    shelf = fleet.shelf(mandate)
    if unknown := shelf.misnamed(gpus):
        raise command_error(ExitCode.BAD_INPUT, clean(shelf.misnaming(unknown)))


def refuse_nothing(
    fleet: Reconciler,
    settings: FleetSettings,
    mandate: RentalPolicy,
    decision: ScalingDecision,
    *,
    vram: int = 0,
) -> None:
    """End the command if nothing can be rented and we have no machines; `vram` is the least memory
    that the tracks need, in nominal GB."""
    if decision.rent or decision.keep:
        return
    wanted = OfferFilter(
        gpus=settings.gpus,
        vram=max(vram, model_set(settings.model_set).min_vram),
        max_price=settings.max_price,
        budget=mandate.budget,
    )
    why = fleet.shelf(mandate).shortage(wanted, decision)
    raise command_error(ExitCode.INCOMPLETE, clean(f"no machine can be rented: {why}"))
