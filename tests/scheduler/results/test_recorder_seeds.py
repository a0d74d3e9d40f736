"""A result must come from an offered seed."""

import pytest

from tests.scheduler.farm_fixture import FarmFixture, briefs, failure
from tests.scheduler.reports import changed, refusal
from trackfarm.identity import seed_of
from trackfarm.protocol.worker import ReportVerdict
from trackfarm_scheduler.db.offers import ShardOffer
from trackfarm_scheduler.db.tables import ArtifactRow, WorkerRow


@pytest.mark.parametrize("later", [0, 1, 2])
def test_recorder_accepts_every_offered_seed(
    farm: FarmFixture, worker: WorkerRow, offer: ShardOffer, first: int, later: int
) -> None:
    track = farm.track(first)
    seed = seed_of(track.key, later, brief_seed=None, variation=0)
    done = changed(farm.upload(offer, first), seed=seed)
    assert [v.verdict for v in farm.report(worker, offer, done=[done])] == [ReportVerdict.COMMITTED]
    assert farm.rows(ArtifactRow)[0].seed == seed


@pytest.mark.parametrize("later", [3, None])
def test_recorder_refuses_a_seed_that_was_not_offered(
    farm: FarmFixture, worker: WorkerRow, offer: ShardOffer, first: int, later: int | None
) -> None:
    track = farm.track(first)
    seed = 4_242 if later is None else seed_of(track.key, later, brief_seed=None, variation=0)
    done = changed(farm.upload(offer, first), seed=seed)
    assert "was not offered" in refusal(farm.report(worker, offer, done=[done]))
    assert farm.rows(ArtifactRow) == []
    assert farm.track(first).state == "pending"
    assert farm.track(first).failures == 0, "the track is not to blame"


def test_recorder_accepts_only_the_requested_seed(farm: FarmFixture, worker: WorkerRow) -> None:
    job_id = farm.submit(briefs(1, seed=77), catalog="given").job_id
    offer = farm.lease(worker, job_id)
    (track_id,) = farm.track_ids(job_id)
    honest = farm.upload(offer, track_id)
    assert honest.seed == 77
    next_one = seed_of(farm.track(track_id).key, 1, brief_seed=None, variation=0)
    stray = changed(honest, seed=next_one)
    assert "was not offered" in refusal(farm.report(worker, offer, done=[stray]))


def test_next_seeds_depend_on_the_tries(farm: FarmFixture, worker: WorkerRow, job_id: str) -> None:
    """After a failure that counts, the second seed is the first one offered."""
    track_id = farm.track_ids(job_id)[0]
    offer = farm.lease(worker, job_id, [track_id])
    farm.report(worker, offer, failed=[failure(track_id)])
    again = farm.lease(worker, job_id, [track_id])
    key = farm.track(track_id).key
    seeds = [seed_of(key, n, brief_seed=None, variation=0) for n in range(4)]
    assert farm.attempt(again, track_id).seed == seeds[1]
    first_one = changed(farm.upload(again, track_id), seed=seeds[0])
    assert "was not offered" in refusal(farm.report(worker, again, done=[first_one]))
    third = farm.lease(worker, job_id, [track_id])
    last = changed(farm.upload(third, track_id), seed=seeds[3])
    assert [v.verdict for v in farm.report(worker, third, done=[last])] == [ReportVerdict.COMMITTED]
