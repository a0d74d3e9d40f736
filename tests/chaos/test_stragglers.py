"""The last tracks of a job do not wait for the slowest worker: an idle one races it."""

from collections.abc import Iterator

import pytest

from tests.chaos.busy import submit_job
from tests.end_to_end.farm import LocalFarm, running_farm
from tests.end_to_end.job_checks import (
    assert_counters_match,
    assert_made_exactly_once,
    metric_sums,
    wait_until_done,
)
from tests.end_to_end.processes import seconds_until
from trackfarm.protocol.operator import WorkerState
from trackfarm_scheduler.policy.states import AttemptState

STEP_S, STEPS = 6.0, 8
STOPPED_S = 5.0


@pytest.fixture
def uneven_farm(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalFarm]:
    with running_farm(request, tmp_path_factory, workers=("fast",)) as running:
        running.start_workers("slow", step_delay=STEP_S)
        yield running


@pytest.mark.soak
def test_idle_worker_overtakes_a_straggler(uneven_farm: LocalFarm) -> None:
    farm = uneven_farm
    job = submit_job(farm, 8)
    took = seconds_until(
        lambda: farm.client.job(job).state.ended, timeout_s=STEPS * STEP_S, what="the job ends"
    )
    wait_until_done(farm, job)
    stopped = seconds_until(
        lambda: farm.database.newest_worker("slow").state == WorkerState.READY,
        timeout_s=STOPPED_S,
        what="the loser has stopped",
    )
    print(f"straggler: job done after {took:.1f} s, loser stopped after {stopped:.1f} s more")
    fast, slow = farm.database.newest_worker("fast"), farm.database.newest_worker("slow")
    races = farm.database.speculative_lease_ids()
    won = [a for a in farm.database.attempts_under(races) if a.state == AttemptState.DONE]
    assert won
    assert {a.worker_id for a in won} == {fast.id}
    overtaken = [
        a
        for a in farm.database.attempts_at({a.track_id for a in won})
        if a.state == AttemptState.CANCELLED
    ]
    assert {(a.worker_id, a.kind) for a in overtaken} == {(slow.id, "overtaken")}
    assert sorted(a.track_id for a in overtaken) == sorted(a.track_id for a in won)
    assert metric_sums(farm)["trackfarm_races_decided_total", ""] >= 1
    assert_made_exactly_once(farm, job)
    assert_counters_match(farm)
