"""Start and stop of an embedded farm."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from os import getpid

from trackfarm.client import Client
from trackfarm.embedded.home import Home, hold
from trackfarm.embedded.interrupts import Interrupts
from trackfarm.embedded.parts import FarmPlan, farm_parts
from trackfarm.embedded.ports import choose_port
from trackfarm.embedded.supervisor import Supervisor
from trackfarm.settings import FarmAddress, farm_file, write_address

START_SECONDS = 120.0  # importing torch from a cold disk takes most of a minute
PROBE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class RunningFarm:
    """A farm with all parts running."""

    address: FarmAddress
    home: Home
    supervisor: Supervisor


@contextmanager
def embedded_farm(
    plan: FarmPlan, *, interrupts: Interrupts, tell: Callable[[str], None]
) -> Iterator[RunningFarm]:
    """Run the farm inside the context; the caller must call `supervisor.tick` regularly.

    Raises:
        HomeHeld, SettingsError: the home directory cannot be used.
        PortTaken, NoBroker: a part cannot be started on this machine.
        StartFailed: a part did not start.
        Interrupted: the operator interrupted the start.
    """
    plan.home.create()
    with hold(plan.home) as lock:
        secrets = plan.home.secrets()
        plan = replace(plan, port=choose_port(plan.port))
        with Client(plan.url, secrets.api_key, patience=0, timeout=PROBE_SECONDS) as probe:
            supervisor = Supervisor(
                farm_parts(plan, secrets, probe),
                logs=plan.home.logs,
                tell=tell,
                wanted=lambda: not interrupts.asked,
                keep_open=(lock,),
            )
            address = FarmAddress(plan.url, secrets.api_key, getpid())
            try:
                supervisor.bring_up(within=START_SECONDS)
                write_address(plan.home.root, address)
                yield RunningFarm(address, plan.home, supervisor)
            finally:
                supervisor.bring_down(hurry=lambda: interrupts.hurried)
                farm_file(plan.home.root).unlink(missing_ok=True)
