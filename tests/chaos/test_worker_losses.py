"""Workers and engines that die, leave or freeze in mid-shard: nothing is lost or made twice."""

import os
import signal
from collections.abc import Iterator

import pytest
from sqlmodel import col

from tests.chaos.busy import (
    are_placed_again,
    submit_job,
    wait_until_computing,
    wait_until_half_finished,
)
from tests.chaos.slow_workers import SLOW_STEPS, WORKER_NAMES
from tests.end_to_end.farm import LocalFarm, running_farm
from tests.end_to_end.job_checks import assert_made_exactly_once, attempts_in_state, wait_until_done
from tests.end_to_end.processes import is_running, kill, seconds_until, tree_of
from tests.servers.process import wait_until
from trackfarm.protocol.operator import WorkerState
from trackfarm.protocol.worker import FailureKind, ReleaseReason
from trackfarm_scheduler.db.tables import LeaseRow
from trackfarm_scheduler.policy.states import AttemptState

LONG = {"step_delay": 5}  # a track takes longer than a lost one may wait
NOTICED_S = 15.0  # docs/architecture.md: a dead worker's tracks are placed again within this
DRAINED_S = 10.0


@pytest.fixture
def long_farm(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalFarm]:
    with running_farm(request, tmp_path_factory, workers=WORKER_NAMES, worker=LONG) as running:
        yield running


def test_killed_engine_costs_one_attempt_and_no_time(farm: LocalFarm) -> None:
    job = submit_job(farm, 6)
    engine = farm.engine("one")
    wait_until_computing(farm, "one")
    kill(engine)
    took = seconds_until(
        lambda: bool(attempts_in_state(farm, job, AttemptState.FAILED)),
        timeout_s=3,
        what="the loss is reported",
    )
    (failed,) = attempts_in_state(farm, job, AttemptState.FAILED)
    assert failed.kind == FailureKind.ENGINE_DIED
    again = seconds_until(
        lambda: are_placed_again(farm, {failed.track_id}, {failed.lease_id}),
        timeout_s=5,
        what="the track that it made is placed again",
    )
    print(f"killed engine: known after {took:.1f} s, placed again after {took + again:.1f} s")
    wait_until_done(farm, job)
    assert_made_exactly_once(farm, job)
    assert len(attempts_in_state(farm, job, AttemptState.FAILED)) == 1
    assert farm.engine("one") != engine


@pytest.mark.soak
def test_terminated_worker_releases_its_unfinished_tracks(farm: LocalFarm) -> None:
    job = submit_job(farm, 12)
    name = wait_until_half_finished(farm, job)
    old = {lease.id for lease in farm.database.live_leases(worker=name)}
    processes = tree_of(farm.workers[name].pid)
    finished = {a.track_id for a in farm.database.attempts_under(old) if a.state == "done"}
    os.kill(farm.workers[name].pid, signal.SIGTERM)
    took = seconds_until(
        lambda: not any(map(is_running, processes)), timeout_s=DRAINED_S, what="it has gone"
    )
    print(f"terminated worker: gone after {took:.1f} s")
    leases = farm.database.rows(LeaseRow, col(LeaseRow.id).in_(old))
    assert {lease.state for lease in leases} == {"ended"}
    assert all((lease.ended_at or 0) < (lease.expires_at or 0) for lease in leases)
    answers = farm.database.attempts_under(old)
    assert {a.state for a in answers} <= {AttemptState.DONE, AttemptState.RELEASED}
    assert {a.track_id for a in answers if a.state == AttemptState.DONE} >= finished
    back = [a for a in answers if a.state == AttemptState.RELEASED]
    assert {a.kind for a in back} == {ReleaseReason.DRAINING}
    assert farm.database.newest_worker(name).state == WorkerState.GONE
    farm.start_worker_process(name, **SLOW_STEPS)
    wait_until_done(farm, job)
    assert are_placed_again(farm, {a.track_id for a in back}, old)
    assert_made_exactly_once(farm, job)


def test_killed_worker_has_its_tracks_placed_again(farm: LocalFarm) -> None:
    job = submit_job(farm, 6)
    old = {lease.id for lease in wait_until_computing(farm, "one")}
    processes = tree_of(farm.workers["one"].pid)
    farm.workers["one"].kill()
    unfinished = farm.database.open_track_ids(old)
    assert unfinished
    took = seconds_until(
        lambda: not farm.database.open_track_ids(old), timeout_s=NOTICED_S, what="its leases end"
    )
    print(f"killed worker: {len(unfinished)} tracks free again after {took:.1f} s")
    wait_until(
        lambda: not any(map(is_running, processes)), timeout_s=5, what="its children are gone"
    )
    farm.start_worker_process("one", **SLOW_STEPS)
    wait_until_done(farm, job)
    assert are_placed_again(farm, unfinished, old)
    assert_made_exactly_once(farm, job)


@pytest.mark.soak
def test_killed_worker_has_its_tracks_placed_before_long_shards_end(long_farm: LocalFarm) -> None:
    farm = long_farm
    job = submit_job(farm, 8)
    for name in farm.workers:
        old = {lease.id for lease in wait_until_computing(farm, name)}
    farm.workers[name].kill()
    unfinished = farm.database.open_track_ids(old)
    assert unfinished
    took = seconds_until(
        lambda: are_placed_again(farm, unfinished, old), timeout_s=NOTICED_S, what="they are placed"
    )
    print(f"killed worker: {len(unfinished)} tracks leased again after {took:.1f} s")
    farm.client.cancel(job)
