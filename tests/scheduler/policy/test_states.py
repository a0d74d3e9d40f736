"""Every transition of every state machine, and the diagrams."""

from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from tests.scheduler.farm_fixture import FarmFixture, briefs
from trackfarm.protocol.operator import TrackState
from trackfarm_scheduler.db import tracks
from trackfarm_scheduler.policy.states import (
    JOB,
    LEASE,
    MACHINES,
    RENTAL,
    SHARD,
    TRACK,
    WORKER,
    StateMachine,
)

ARCHITECTURE = Path(__file__).parents[3] / "docs" / "architecture.md"
machines = pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)

# Repeated on purpose, so that a change of the tables must be deliberate.
LEGAL = {
    "job": {
        "accepted": "running paused done failed cancelled out_of_budget",
        "running": "paused done failed cancelled out_of_budget",
        "paused": "running cancelled",
        "done": "running",
        "failed": "running",
        "cancelled": "running",
        "out_of_budget": "running cancelled",
    },
    "track": {
        "pending": "leased cancelled",
        "leased": "pending done failed cancelled",
        "done": "pending failed",
        "failed": "pending",
        "cancelled": "pending",
    },
    "shard": {"offered": "claimed finished", "claimed": "finished", "finished": ""},
    "lease": {"live": "ended", "ended": ""},
    "worker": {
        "joining": "ready lost gone",
        "ready": "busy draining lost gone quarantined",
        "busy": "ready draining lost gone quarantined",
        "draining": "lost gone",
        "quarantined": "lost gone",
        "lost": "ready busy draining quarantined gone",
        "gone": "",
    },
    "rental": {
        "intended": "created ended",
        "created": "booting ending",
        "booting": "joined ending",
        "joined": "draining ending",
        "draining": "ending",
        "ending": "ended",
        "ended": "",
    },
}


def states(machine: StateMachine[Any]) -> list[StrEnum]:
    kind: type[StrEnum] = type(next(iter(machine.moves)))
    return list(kind)


def test_machines_are_complete() -> None:
    assert {m.name for m in MACHINES} == set(LEGAL)
    assert MACHINES == (JOB, TRACK, SHARD, LEASE, WORKER, RENTAL)


@machines
def test_machines_decide_every_pair_of_states(machine: StateMachine[Any]) -> None:
    assert set(machine.moves) == set(states(machine))
    for source in states(machine):
        for target in states(machine):
            expected = target in LEGAL[machine.name][source].split()
            assert machine.allows(source, target) is expected, f"{source} -> {target}"
            assert (source in machine.sources(target)) is expected


@machines
def test_machines_reach_every_state_and_have_no_loops(machine: StateMachine[Any]) -> None:
    first = states(machine)[0]
    for state in states(machine):
        assert not machine.allows(state, state)
        assert state is first or machine.sources(state)


def test_machines_have_final_states() -> None:
    for machine, last in ((LEASE, "ended"), (SHARD, "finished")):
        assert machine.moves[last] == frozenset()  # type: ignore[index]


@pytest.mark.parametrize("target", [s for s in TrackState if s is not TrackState.DONE])
def test_done_track_is_left_only_by_a_named_source(
    sqlite_farm: FarmFixture, target: TrackState
) -> None:
    job_id = sqlite_farm.submit(briefs(1)).job_id
    worker = sqlite_farm.join()
    sqlite_farm.finish(worker, sqlite_farm.lease(worker, job_id))
    with sqlite_farm.database.write() as session:
        assert tracks.move(session, sqlite_farm.track_ids(job_id), target) == []
    assert sqlite_farm.states(job_id) == {"done": 1}


@machines
def test_diagram_has_every_move(machine: StateMachine[Any]) -> None:
    head, *arrows = machine.mermaid().splitlines()
    assert head == "stateDiagram-v2"
    transitions = {tuple(arrow.strip().split(" --> ")) for arrow in arrows}
    assert transitions == {(a, b) for a, to in LEGAL[machine.name].items() for b in to.split()}
    assert len(transitions) == len(arrows)


@machines
def test_diagram_is_in_the_documentation(machine: StateMachine[Any]) -> None:
    assert machine.mermaid() in ARCHITECTURE.read_text()
