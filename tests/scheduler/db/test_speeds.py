"""Learned speeds: stored, read back, separate by GPU kind, and relative to the kind."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.scheduler.farm_fixture import FarmFixture, briefs
from trackfarm.cost import TrackShape
from trackfarm.model_sets import model_set
from trackfarm.protocol.worker import ReportVerdict
from trackfarm.speed_model import SpeedModel
from trackfarm_scheduler.db import placement_view, speeds
from trackfarm_scheduler.db.tables import WorkerRow
from trackfarm_scheduler.db.tables_history import SpeedRow

TINY = model_set("tiny")


def model(farm: FarmFixture, gpu: str = "cpu") -> SpeedModel:
    with farm.database.read() as session:
        return speeds.load_model(session, gpu, TINY)


def shape_of(farm: FarmFixture, job_id: str) -> TrackShape:
    return speeds.shape_of(farm.track(farm.track_ids(job_id)[0]))


def make(farm: FarmFixture, worker: WorkerRow, job_id: str, *ids: int, service: float) -> None:
    offer = farm.lease(worker, job_id, ids)
    farm.report(worker, offer, done=[farm.upload(offer, i, service=service) for i in ids])


def test_load_model_of_an_unknown_kind_is_the_prior(farm: FarmFixture) -> None:
    assert model(farm) == SpeedModel("cpu", TINY)


def test_learn_from_each_committed_track(farm: FarmFixture) -> None:
    job_id = farm.submit(briefs(6)).job_id
    shape = shape_of(farm, job_id)
    expected = SpeedModel("cpu", TINY)
    for track_id in farm.track_ids(job_id)[:4]:
        make(farm, farm.join(), job_id, track_id, service=7.0)
        expected = expected.observe(shape, 7.0)
    assert model(farm).to_json() == expected.to_json(), "stored and read back as it was"
    assert model(farm).tracks == 4
    assert model(farm, "NVIDIA H200").tracks == 0
    assert model(farm).predict(shape).mean == pytest.approx(7.0, rel=0.5)
    assert model(farm).predict(shape).mean > SpeedModel("cpu", TINY).predict(shape).mean


@pytest.mark.parametrize("service", [0.0, speeds.MAX_TRACK_SECONDS, 80_000.0])
def test_learn_ignores_impossible_durations(farm: FarmFixture, service: float) -> None:
    """Cover a worker that does not measure, and a machine that was asleep."""
    job_id = farm.submit(briefs(1)).job_id
    worker = farm.join()
    make(farm, worker, job_id, *farm.track_ids(job_id), service=service)
    assert farm.count(SpeedRow) == 0
    assert farm.worker(worker.id).speed == 1.0


def test_learn_ignores_refused_results(farm: FarmFixture) -> None:
    job_id = farm.submit(briefs(1)).job_id
    worker = farm.join()
    offer = farm.lease(worker, job_id)
    done = farm.upload(offer, farm.track_ids(job_id)[0])
    farm.report(worker, offer, done=[done.model_copy(update={"size": 1})])
    assert farm.count(SpeedRow) == 0


def test_load_model_of_another_version_is_the_prior(farm: FarmFixture) -> None:
    with farm.database.write() as session:
        session.add(SpeedRow(gpu="cpu", model_set="tiny", stats='{"version":999}'))
    assert model(farm) == SpeedModel("cpu", TINY)
    job_id = farm.submit(briefs(1)).job_id
    make(farm, farm.join(), job_id, *farm.track_ids(job_id), service=5.0)
    assert model(farm).tracks == 1


def test_speed_of_a_slow_worker_differs_from_its_kind(farm: FarmFixture) -> None:
    """Join three workers of a kind, one at half the speed of the others."""
    workers = [farm.join(str(i)) for i in range(3)]
    job_id = farm.submit(briefs(90)).job_id
    ids = iter(farm.track_ids(job_id))
    for _ in range(30):
        for worker, service in zip(workers, (4.0, 4.0, 8.0), strict=True):
            make(farm, worker, job_id, next(ids), service=service)
    one, two, slow = (farm.worker(w.id).speed for w in workers)
    assert one == pytest.approx(two, rel=0.05)
    assert slow == pytest.approx(one / 2, rel=0.1)
    with farm.database.read() as session:
        priced = {
            w.id: w.seconds(shape_of(farm, job_id))
            for w in placement_view.load_worker_pool(session).workers
        }
    assert priced[workers[2].id] == pytest.approx(8.0, rel=0.1), "placement prices it by itself"
    assert priced[workers[0].id] == pytest.approx(4.0, rel=0.1)


def test_learn_from_first_tracks_reported_at_once(farm: FarmFixture) -> None:
    job_id = farm.submit(briefs(4)).job_id
    workers = [farm.join(str(i)) for i in range(4)]
    offers = [
        farm.lease(w, job_id, [i]) for w, i in zip(workers, farm.track_ids(job_id), strict=True)
    ]
    done = [farm.upload(o, i) for o, i in zip(offers, farm.track_ids(job_id), strict=True)]
    with ThreadPoolExecutor(4) as pool:
        verdicts = list(
            pool.map(lambda n: farm.report(workers[n], offers[n], done=[done[n]]), range(4))
        )
    assert {v.verdict for (v,) in verdicts} == {ReportVerdict.COMMITTED}
    assert model(farm).tracks >= 1


def test_calibrate_by_the_first_worker_of_a_kind(farm: FarmFixture) -> None:
    prior = SpeedModel("cpu", TINY).predict(TrackShape(60.0, 8, False)).mean
    first = farm.join("first", calibration={"seconds_60s": 3 * prior, "seconds_10s": 1e9})
    learnt = model(farm)
    assert learnt.tracks == 2
    assert learnt.predict(TrackShape(60.0, 8, False)).mean == pytest.approx(3 * prior, rel=0.2)
    assert first.speed == pytest.approx(1.0, rel=0.25)
    twice = farm.join("twice as fast", calibration={"seconds_60s": 1.5 * prior})
    assert model(farm) == learnt, "the kind is known by now"
    assert twice.speed == pytest.approx(2.0, rel=0.2)
    assert farm.join("unmeasured").speed == 1.0


def test_calibrated_worker_gets_longer_tracks_and_larger_shards(farm: FarmFixture) -> None:
    card = {"memory_mib": 12_288, "model_set": "acestep-v15-turbo", "gpu": "RTX 3060"}
    farm.join("plain", **card)
    farm.join("measured", **card, calibration={"max_duration": 300.0, "max_batch": 1e9})
    big = {"memory_mib": 143_771, "model_set": "acestep-v15-turbo", "gpu": "H200"}
    farm.join("big", **big, calibration={"max_batch": 200.0})
    with farm.database.read() as session:
        desks = sorted(
            (d.tier, d.vram, d.max_tracks) for d in placement_view.load_worker_pool(session).workers
        )
    assert desks == [("vram12", 12, 64), ("vram12", 16, 64), ("vram141", 141, 200)]
