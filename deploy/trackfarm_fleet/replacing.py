"""Machines that are paid for and not worth it: pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from trackfarm.api import WorkerState
from trackfarm.rentals import RentedWorker
from trackfarm_fleet.decision import GiveBack
from trackfarm_fleet.outlook import price_of_work
from trackfarm_fleet.situation import Candidate, Machine


@dataclass(frozen=True, slots=True)
class Deserts:
    """A machine is judged after `tracks`; it goes when it has less than `slow` of the speed of its
    kind, and a second of its work costs more than `dear` times that of the best offer, with the
    offer's boot, over `span` seconds."""

    tracks: int = 10
    slow: float = 0.6
    dear: float = 1.25
    span: float = 3600.0


def unworthy(
    machines: Iterable[Machine],
    workers: Mapping[str, Sequence[RentedWorker]],
    candidates: Sequence[Candidate],
    deserts: Deserts,
) -> Iterator[GiveBack]:
    """Those whose tracks others had to make, and those slower than their price deserves."""
    for machine in machines:
        present = [w for w in workers.get(machine.tag, ()) if w.state is not WorkerState.GONE]
        if not present or machine.draining:
            continue
        if all(worker.state is WorkerState.QUARANTINED for worker in present):
            yield GiveBack(machine.tag, "it failed tracks that others then made")
        elif reason := _too_dear(machine, present, candidates, deserts):
            yield GiveBack(machine.tag, reason)


def _too_dear(
    machine: Machine,
    present: Sequence[RentedWorker],
    candidates: Sequence[Candidate],
    deserts: Deserts,
) -> str:
    speed = sum(worker.speed for worker in present) / len(present)
    judged = sum(worker.tracks_done for worker in present) >= deserts.tracks
    if not judged or speed >= deserts.slow:
        return ""
    able = [c for c in candidates if c.vram >= machine.vram]
    best = min((price_of_work(c, deserts.span) for c in able), default=None)
    price = price_of_work(machine, deserts.span)
    if best is None or price <= deserts.dear * best:
        return ""
    return f"slower than its price deserves: {speed:.2f} of its kind's speed"
