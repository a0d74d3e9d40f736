"""Scale-down: selects machines to return, because they have no work or are not needed. Pure.

Replacement of underperforming machines. Pure.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from trackfarm.protocol.fleet import RentedWorker
from trackfarm.protocol.operator import WorkerState
from trackfarm_fleet.autoscaler.estimates import estimate_completion, price_of_work, reserve
from trackfarm_fleet.autoscaler.models import (
    Backlog,
    Candidate,
    MachineState,
    Release,
    ScalingInput,
    ScalingRules,
)


def idle_machines(
    situation: ScalingInput, working: Sequence[MachineState], rules: ScalingRules
) -> Iterator[Release]:
    """Yield machines without waiting tracks, now or in future: the tail of the work needs fewer of
    them."""
    for machine in _dearest(working):
        if waits_for(machine, situation.backlog):
            continue
        if machine.ready_in > 0 and machine.held >= rules.idle:
            yield Release(machine.tag, "no track will be waiting when it has started")
        elif machine.ready_in <= 0 and machine.idle >= rules.idle:
            yield Release(machine.tag, f"it has been idle for {machine.idle:.0f} s")


def surplus(
    situation: ScalingInput, working: Sequence[MachineState], target: float, rules: ScalingRules
) -> Iterator[Release]:
    """Yield machines that can be released without missing the target and at a lower total cost,
    most expensive first."""
    staying = list(working)
    with_it = estimate_completion(situation.backlog, staying, drain=rules.drain)
    for machine in _dearest([m for m in working if waits_for(m, situation.backlog)]):
        # Fewer machines never finish sooner, so skip the forecast, which is costly.
        if machine.ready_in < with_it.finish > rules.return_by * target:
            continue
        rest = [m for m in staying if m is not machine]
        without = estimate_completion(situation.backlog, rest, drain=rules.drain)
        # Count its shutdown too: else one of several equal machines would look free to release.
        shutdown_cost = reserve([machine], rules.drain + rules.tick)
        if without.cost + shutdown_cost >= with_it.cost:
            continue
        if machine.ready_in >= without.finish:
            yield Release(machine.tag, f"done in {without.finish:.0f} s, before it has started")
        elif machine.held >= rules.hold and without.finish <= rules.return_by * target:
            remaining_time = f"{without.finish:.0f} s of {target:.0f} s without it"
            yield Release(machine.tag, f"${machine.price_per_hour:.3f}/h saved: {remaining_time}")
        else:
            continue
        staying, with_it = rest, without


def _dearest(machines: Sequence[MachineState]) -> list[MachineState]:
    """Sort by the price of a second of their work, ignoring the boot; equal ones by tag."""
    return sorted(machines, key=lambda m: (-price_of_work(m, m.ready_in + 1.0), m.tag))


def waits_for(machine: MachineState, backlog: Sequence[Backlog]) -> bool:
    """Return True if tracks without a worker fit this machine."""
    return any(b.waiting and b.vram <= machine.vram for b in backlog)


@dataclass(frozen=True, slots=True)
class UnderperformanceRule:
    """The rule: a machine is judged after `tracks`. It is returned if it has less than `slow` of
    the expected speed of its GPU, and a second of its work costs more than `dear` times that of the
    best offer over `span` seconds, boot included."""

    tracks: int = 10
    slow: float = 0.6
    dear: float = 1.25
    span: float = 3600.0


def underperforming(
    machines: Iterable[MachineState],
    workers: Mapping[str, Sequence[RentedWorker]],
    candidates: Sequence[Candidate],
    deserts: UnderperformanceRule,
) -> Iterator[Release]:
    """Yield the machines that failed tracks which others completed, and machines too slow for their
    price."""
    for machine in machines:
        present = [w for w in workers.get(machine.tag, ()) if w.state is not WorkerState.GONE]
        if not present or machine.draining:
            continue
        if all(worker.state is WorkerState.QUARANTINED for worker in present):
            yield Release(machine.tag, "it failed tracks that other workers completed")
        elif reason := _too_dear(machine, present, candidates, deserts):
            yield Release(machine.tag, reason)


def _too_dear(
    machine: MachineState,
    present: Sequence[RentedWorker],
    candidates: Sequence[Candidate],
    deserts: UnderperformanceRule,
) -> str:
    speed = sum(worker.speed for worker in present) / len(present)
    judged = sum(worker.tracks_done for worker in present) >= deserts.tracks
    if not judged or speed >= deserts.slow:
        return ""
    suitable = [c for c in candidates if c.vram >= machine.vram]
    best = min((price_of_work(c, deserts.span) for c in suitable), default=None)
    price = price_of_work(machine, deserts.span)
    if best is None or price <= deserts.dear * best:
        return ""
    return f"too slow for its price: {speed:.2f} of the expected speed"
