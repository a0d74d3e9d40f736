"""Effect of a reported failure on its track, its worker and nothing else."""

import pytest

from tests.scheduler.farm_fixture import FarmFixture, failure
from trackfarm.protocol.worker import FailureKind
from trackfarm_scheduler.db import jobs
from trackfarm_scheduler.db.offers import ShardOffer
from trackfarm_scheduler.db.tables import WorkerRow


def test_failure_is_retried_later(
    farm: FarmFixture, worker: WorkerRow, offer: ShardOffer, first: int
) -> None:
    farm.report(worker, offer, failed=[failure(first)])
    track = farm.track(first)
    assert (track.state, track.failures, track.crashes) == ("pending", 1, 0)
    assert (track.error, track.not_before) == ("engine_error: it broke", farm.clock())
    assert farm.rows(WorkerRow)[0].tracks_failed == 1


def test_failure_on_a_single_worker_is_final_the_third_time(farm: FarmFixture, job_id: str) -> None:
    worker, first = farm.join(), farm.track_ids(job_id)[0]
    for number in range(1, 4):
        assert farm.track(first).state == "pending"
        offer = farm.lease(worker, job_id, [first])
        farm.report(worker, offer, failed=[failure(first)])
        assert farm.track(first).failures == number
    track = farm.track(first)
    assert (track.state, track.ended_at) == ("failed", farm.clock())
    assert track.error == "engine_error: it broke (it failed 3 times)"


def test_failure_on_three_workers_is_final_until_the_job_is_retried(
    farm: FarmFixture, job_id: str
) -> None:
    workers, first = [farm.join(str(i)) for i in range(4)], farm.track_ids(job_id)[0]
    for worker in workers[:3]:
        assert farm.track(first).state == "pending"
        offer = farm.lease(worker, job_id, [first])
        farm.report(worker, offer, failed=[failure(first, FailureKind.SILENT)])
    assert farm.track(first).error == "silent: it broke (it failed on 3 workers)"
    farm.change(job_id, jobs.retry)
    for worker in (workers[3], workers[0]):
        offer = farm.lease(worker, job_id, [first])
        farm.report(worker, offer, failed=[failure(first, FailureKind.SILENT)])
        assert farm.track(first).state == "pending", "its failures are reset"


def test_failure_is_final_after_three_crashes(farm: FarmFixture, job_id: str) -> None:
    workers, first = [farm.join(str(i)) for i in range(2)], farm.track_ids(job_id)[0]
    for number, kind in enumerate(
        [FailureKind.ENGINE_DIED, FailureKind.ENGINE_HUNG, FailureKind.ENGINE_DIED]
    ):
        offer = farm.lease(workers[number % 2], job_id, [first])
        farm.report(workers[number % 2], offer, failed=[failure(first, kind)])
        assert farm.track(first).crashes == number + 1
    assert farm.track(first).error == "engine_died: it broke (it crashed the engine 3 times)"


@pytest.mark.parametrize("kind", [FailureKind.BAD_INPUT, FailureKind.UNSUPPORTED_TASK])
def test_failure_that_no_retry_can_change_is_final(
    farm: FarmFixture, worker: WorkerRow, offer: ShardOffer, first: int, kind: FailureKind
) -> None:
    farm.report(worker, offer, failed=[failure(first, kind)])
    assert farm.track(first).state == "failed"


def test_failure_of_the_infrastructure_is_never_final(farm: FarmFixture, job_id: str) -> None:
    worker, first = farm.join(), farm.track_ids(job_id)[0]
    for _ in range(8):
        offer = farm.lease(worker, job_id, [first])
        farm.report(worker, offer, failed=[failure(first, FailureKind.UPLOAD_FAILED)])
    track = farm.track(first)
    assert (track.state, track.failures, track.tries) == ("pending", 0, 8)


def test_failure_for_memory_moves_the_track_to_a_larger_gpu(farm: FarmFixture, job_id: str) -> None:
    first = farm.track_ids(job_id)[0]
    small, large = farm.join("small", memory_mib=8_192), farm.join("large", memory_mib=24_564)
    for worker in (small, large, large, large):
        assert farm.track(first).state == "pending"
        offer = farm.lease(worker, job_id, [first])
        farm.report(worker, offer, failed=[failure(first, FailureKind.OUT_OF_MEMORY)])
        assert farm.track(first).min_vram == large.vram
    assert farm.track(first).state == "failed"
    assert "no worker has enough GPU memory" in farm.track(first).error
    assert {worker.strikes for worker in farm.rows(WorkerRow)} == {0}
