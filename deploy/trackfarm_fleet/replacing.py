"""Replacement of underperforming machines. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from trackfarm.api import WorkerState
from trackfarm.rentals import RentedWorker
from trackfarm_fleet.decision import GiveBack
from trackfarm_fleet.outlook import price_of_work
from trackfarm_fleet.situation import Candidate, Machine


@dataclass(frozen=True, slots=True)
class Deserts:
    """The rule: a machine is judged after `tracks`. It is returned if it has less than `slow` of
    the expected speed of its GPU, and a second of its work costs more than `dear` times that of the
    best offer over `span` seconds, boot included."""

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
    """Yield the machines that failed tracks which others completed, and machines too slow for their
    price."""
    for machine in machines:
        present = [w for w in workers.get(machine.tag, ()) if w.state is not WorkerState.GONE]
        if not present or machine.draining:
            continue
        if all(worker.state is WorkerState.QUARANTINED for worker in present):
            yield GiveBack(machine.tag, "it failed tracks that other workers completed")
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
    suitable = [c for c in candidates if c.vram >= machine.vram]
    best = min((price_of_work(c, deserts.span) for c in suitable), default=None)
    price = price_of_work(machine, deserts.span)
    if best is None or price <= deserts.dear * best:
        return ""
    return f"too slow for its price: {speed:.2f} of the expected speed"
