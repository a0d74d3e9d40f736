"""Scale-down: selects machines to return, because they have no work or are not needed. Pure."""

from collections.abc import Iterator, Sequence

from trackfarm_fleet.decision import GiveBack
from trackfarm_fleet.outlook import outlook, price_of_work, reserve
from trackfarm_fleet.situation import Backlog, Machine, Rules, Situation


def idlers(situation: Situation, working: Sequence[Machine], rules: Rules) -> Iterator[GiveBack]:
    """Yield machines without waiting tracks, now or in future: the tail of the work needs fewer of
    them."""
    for machine in _dearest(working):
        if waits_for(machine, situation.backlog):
            continue
        if machine.ready_in > 0 and machine.held >= rules.idle:
            yield GiveBack(machine.tag, "no track will be waiting when it has started")
        elif machine.ready_in <= 0 and machine.idle >= rules.idle:
            yield GiveBack(machine.tag, f"it has been idle for {machine.idle:.0f} s")


def surplus(
    situation: Situation, working: Sequence[Machine], target: float, rules: Rules
) -> Iterator[GiveBack]:
    """Yield machines that can be released without missing the target and at a lower total cost,
    most expensive first."""
    staying = list(working)
    with_it = outlook(situation.backlog, staying, drain=rules.drain)
    for machine in _dearest([m for m in working if waits_for(m, situation.backlog)]):
        # Fewer machines never finish sooner, so skip the forecast, which is costly.
        if machine.ready_in < with_it.finish > rules.return_by * target:
            continue
        rest = [m for m in staying if m is not machine]
        without = outlook(situation.backlog, rest, drain=rules.drain)
        # Count its shutdown too: else one of several equal machines would look free to release.
        shutdown_cost = reserve([machine], rules.drain + rules.tick)
        if without.cost + shutdown_cost >= with_it.cost:
            continue
        if machine.ready_in >= without.finish:
            yield GiveBack(machine.tag, f"done in {without.finish:.0f} s, before it has started")
        elif machine.held >= rules.hold and without.finish <= rules.return_by * target:
            remaining_time = f"{without.finish:.0f} s of {target:.0f} s without it"
            yield GiveBack(machine.tag, f"${machine.price_per_hour:.3f}/h saved: {remaining_time}")
        else:
            continue
        staying, with_it = rest, without


def _dearest(machines: Sequence[Machine]) -> list[Machine]:
    """Sort by the price of a second of their work, ignoring the boot; equal ones by tag."""
    return sorted(machines, key=lambda m: (-price_of_work(m, m.ready_in + 1.0), m.tag))


def waits_for(machine: Machine, backlog: Sequence[Backlog]) -> bool:
    """Return True if tracks without a worker fit this machine."""
    return any(b.waiting and b.vram <= machine.vram for b in backlog)
