"""Scale-down: selects machines to return, because they have no work, are not needed or perform too
badly. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from trackfarm.protocol.fleet import RentedWorker
from trackfarm.protocol.operator import WorkerState
from trackfarm_fleet.autoscaler.estimates import estimate_completion, price_of_work, shutdown_cost
from trackfarm_fleet.autoscaler.models import (
    Backlog,
    Candidate,
    MachineState,
    Release,
    ScalingInput,
    ScalingRules,
)


@dataclass(frozen=True, slots=True)
class UnderperformanceRule:
    """The rule: a machine is judged after `min_tracks`. It is returned if it has less than
    `min_speed` of the expected speed of its GPU, and a second of its work costs more than
    `max_price_ratio` times that of the best offer over `rental_seconds`, boot included."""

    min_tracks: int = 10
    min_speed: float = 0.6
    max_price_ratio: float = 1.25
    rental_seconds: float = 3600.0


def idle_machines(
    inputs: ScalingInput, working: Sequence[MachineState], rules: ScalingRules
) -> Iterator[Release]:
    """Yield machines without waiting tracks, now or in future: the tail of the work needs fewer of
    them."""
    for machine in _most_expensive_first(working):
        if has_waiting_tracks(machine, inputs.backlog):
            continue
        if machine.ready_in_seconds > 0 and machine.age_seconds >= rules.idle_timeout_seconds:
            yield Release(machine.tag, "no track will be waiting when it has started")
        elif machine.ready_in_seconds <= 0 and machine.idle_seconds >= rules.idle_timeout_seconds:
            yield Release(machine.tag, f"it has been idle for {machine.idle_seconds:.0f} s")


def surplus_machines(
    inputs: ScalingInput,
    working: Sequence[MachineState],
    target_seconds: float,
    rules: ScalingRules,
) -> Iterator[Release]:
    """Yield machines that can be released without missing the target and at a lower total cost,
    most expensive first."""
    staying = list(working)
    latest_finish = rules.scale_down_threshold * target_seconds
    with_it = estimate_completion(inputs.backlog, staying, rules)
    needed = [m for m in working if has_waiting_tracks(m, inputs.backlog)]
    for machine in _most_expensive_first(needed):
        # Fewer machines never finish sooner, so skip the forecast, which is costly.
        if machine.ready_in_seconds < with_it.finish_seconds > latest_finish:
            continue
        rest = [m for m in staying if m is not machine]
        without = estimate_completion(inputs.backlog, rest, rules)
        # Count its shutdown too: else one of several equal machines would look free to release.
        if without.cost + shutdown_cost([machine], rules) >= with_it.cost:
            continue
        finish = without.finish_seconds
        if machine.ready_in_seconds >= finish:
            yield Release(machine.tag, f"done in {finish:.0f} s, before it has started")
        elif machine.age_seconds >= rules.min_hold_seconds and finish <= latest_finish:
            remaining_time = f"{finish:.0f} s of {target_seconds:.0f} s without it"
            yield Release(machine.tag, f"${machine.price_per_hour:.3f}/h saved: {remaining_time}")
        else:
            continue
        staying, with_it = rest, without


def has_waiting_tracks(machine: MachineState, backlog: Sequence[Backlog]) -> bool:
    """Return True if tracks without a worker fit this machine."""
    return any(b.waiting and b.vram <= machine.vram for b in backlog)


def _most_expensive_first(machines: Sequence[MachineState]) -> list[MachineState]:
    """Sort by the price of a second of their work, ignoring the boot; equal ones by tag."""
    return sorted(machines, key=lambda m: (-price_of_work(m, m.ready_in_seconds + 1.0), m.tag))


def underperforming(
    machines: Iterable[MachineState],
    workers: Mapping[str, Sequence[RentedWorker]],
    candidates: Sequence[Candidate],
    rule: UnderperformanceRule,
) -> Iterator[Release]:
    """Yield the machines that failed tracks which others completed, and machines too slow for their
    price."""
    for machine in machines:
        present = [w for w in workers.get(machine.tag, ()) if w.state is not WorkerState.GONE]
        if not present or machine.is_draining:
            continue
        if all(worker.state is WorkerState.QUARANTINED for worker in present):
            yield Release(machine.tag, "it failed tracks that other workers completed")
        elif reason := _too_expensive(machine, present, candidates, rule):
            yield Release(machine.tag, reason)


def _too_expensive(
    machine: MachineState,
    present: Sequence[RentedWorker],
    candidates: Sequence[Candidate],
    rule: UnderperformanceRule,
) -> str:
    speed = sum(worker.speed for worker in present) / len(present)
    has_enough_tracks = sum(worker.tracks_done for worker in present) >= rule.min_tracks
    if not has_enough_tracks or speed >= rule.min_speed:
        return ""
    suitable = [c for c in candidates if c.vram >= machine.vram]
    best = min((price_of_work(c, rule.rental_seconds) for c in suitable), default=None)
    price = price_of_work(machine, rule.rental_seconds)
    if best is None or price <= rule.max_price_ratio * best:
        return ""
    return f"too slow for its price: {speed:.2f} of the expected speed"
