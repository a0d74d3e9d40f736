"""Options shared by several commands, and the settings that they override."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from trackfarm import logs
from trackfarm.cli.exits import ExitCode
from trackfarm.cli.session import ended, errors_end_the_command, known_farm
from trackfarm.environment import UNUSABLE
from trackfarm.printable import clean
from trackfarm.settings import SettingsError
from trackfarm_fleet.assembly import assembled, connection
from trackfarm_fleet.farm import FleetFarm
from trackfarm_fleet.fleet import Fleet, NotLeading
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
    except UNUSABLE as error:
        options = {name: flag for name, flag in _FLAGS.items() if overrides.get(name) is not None}
        raise ended(ExitCode.BAD_INPUT, clean(complaint(error, options))) from None


@contextmanager
def opened(settings: FleetSettings) -> Iterator[tuple[Fleet, FleetFarm]]:
    """Yield the fleet of the configured farm; end the command if it is unusable."""
    logs.configure(settings.log_format, "warning")
    with farm_of() as farm:
        try:
            with assembled(settings, farm) as fleet:
                yield fleet, farm
        except SettingsError as error:
            raise ended(ExitCode.BAD_INPUT, str(error)) from None
        except NotLeading as error:
            remedy = "stop it, or let it rent: `trackfarm submit` with --deadline and --budget"
            raise ended(ExitCode.REFUSED, f"{error}; {remedy}") from None


@contextmanager
def farm_of() -> Iterator[FleetFarm]:
    """Yield the scheduler's client alone, for commands that need no provider."""
    address = known_farm()
    with errors_end_the_command():
        try:
            farm = connection(address)
        except SettingsError as error:
            raise ended(ExitCode.BAD_INPUT, str(error)) from None
        with farm:
            yield farm
