"""Which machines to give back: those without work, and those that are not needed. Pure."""

from collections.abc import Iterator, Sequence

from trackfarm_fleet.decision import GiveBack
from trackfarm_fleet.outlook import outlook, price_of_work, reserve
from trackfarm_fleet.situation import Backlog, Machine, Rules, Situation


def idlers(situation: Situation, working: Sequence[Machine], rules: Rules) -> Iterator[GiveBack]:
    """Machines for which nothing waits, or ever will: the tail needs fewer of them."""
    for machine in _dearest(working):
        if waits_for(machine, situation.backlog):
            continue
        if machine.ready_in > 0 and machine.held >= rules.idle:
            yield GiveBack(machine.tag, "nothing will wait for it when it has started")
        elif machine.ready_in <= 0 and machine.idle >= rules.idle:
            yield GiveBack(machine.tag, f"it has had nothing to do for {machine.idle:.0f} s")


def surplus(
    situation: Situation, working: Sequence[Machine], target: float, rules: Rules
) -> Iterator[GiveBack]:
    """Machines without which everything is done in good time, and more cheaply, dearest first."""
    staying = list(working)
    with_it = outlook(situation.backlog, staying, drain=rules.drain)
    for machine in _dearest([m for m in working if waits_for(m, situation.backlog)]):
        # Fewer machines are never done sooner, and a fleet is asked about often.
        if machine.ready_in < with_it.finish > rules.return_by * target:
            continue
        rest = [m for m in staying if m is not machine]
        without = outlook(situation.backlog, rest, drain=rules.drain)
        # Equal machines do the same work for the same money, and sooner: its own end costs too.
        parting = reserve([machine], rules.drain + rules.tick)
        if without.cost + parting >= with_it.cost:
            continue
        if machine.ready_in >= without.finish:
            yield GiveBack(machine.tag, f"all is done in {without.finish:.0f} s, before it starts")
        elif machine.held >= rules.hold and without.finish <= rules.return_by * target:
            left = f"{without.finish:.0f} s of {target:.0f} s without it"
            yield GiveBack(machine.tag, f"${machine.price_per_hour:.3f}/h saved: {left}")
        else:
            continue
        staying, with_it = rest, without


def _dearest(machines: Sequence[Machine]) -> list[Machine]:
    """By what a second of their work costs now that they are there; equal ones by tag."""
    return sorted(machines, key=lambda m: (-price_of_work(m, m.ready_in + 1.0), m.tag))


def waits_for(machine: Machine, backlog: Sequence[Backlog]) -> bool:
    """Whether there are tracks without a worker that it can make."""
    return any(b.waiting and b.vram <= machine.vram for b in backlog)
