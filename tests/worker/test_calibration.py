"""Calibration: planned runs, reported facts, and the stored record."""

from pathlib import Path

import pytest

from trackfarm import cost
from trackfarm.cost import TrackShape
from trackfarm.model_sets import model_set
from trackfarm.protocol.worker import RegisterRequest
from trackfarm.tiers import tiers, worker_limits
from trackfarm_worker.calibration import FILE, Calibration, CalibrationPoint, load, plan_runs, save

TURBO = model_set("acestep-v15-turbo")


def point(duration: float, tracks: int, seconds: float) -> CalibrationPoint:
    return CalibrationPoint(
        duration=duration,
        steps=8,
        tracks=tracks,
        batch=tracks,
        condition=0.0,
        denoise=seconds / 2,
        decode=seconds / 2,
        service=seconds,
    )


def calibration(*points: CalibrationPoint) -> Calibration:
    return Calibration(
        gpu="NVIDIA H200", memory_mib=143_771, driver="1", model_set=TURBO.identity, points=points
    )


def test_plan_runs_has_single_tracks_and_large_batches_shortest_first() -> None:
    plan = plan_runs(TURBO, is_gpu=True)
    assert [run.duration for run in plan] == sorted(run.duration for run in plan)
    assert {(t.duration, t.tracks) for t in plan} >= {(60.0, 1), (60.0, 32), (600.0, 3)}
    assert {run.steps for run in plan} == {TURBO.default_steps}
    assert [t.tracks for t in plan_runs(TURBO, is_gpu=True, durations=[10], max_tracks=1)] == [1]


def test_facts_hold_the_largest_batch_of_each_length_and_the_speed() -> None:
    prior = cost.seconds(TrackShape(60, 8, False), gpu="NVIDIA H200", model_set=TURBO)
    record = calibration(point(60, 1, prior), point(60, 32, prior / 2), point(240, 8, 1.0))
    facts = record.facts(TURBO)
    assert facts["batch_60s"] == 32
    assert facts["seconds_60s"] == pytest.approx(prior / 2, abs=1e-6)
    assert (facts["max_duration"], facts["max_batch"]) == (240, 32)
    assert 0.5 < facts["speed"] < 2.1
    request = RegisterRequest(
        name="w", gpu="H200", memory_mib=1, model_set="tiny", calibration=facts
    )
    assert request.calibration == facts
    assert calibration().facts(TURBO) == {}


def test_facts_extend_the_limits_of_the_tier() -> None:
    floor = tiers()["vram16"]
    facts = calibration(point(600, 9, 1.0)).facts(TURBO)
    tier = worker_limits(floor, facts, model_set=TURBO, memory_mib=16_376)
    assert (tier.name, tier.max_duration, tier.max_batch) == ("vram16", 600, 9)


def test_record_is_stored_and_fits_only_its_gpu_and_weights(tmp_path: Path) -> None:
    record = calibration(point(60, 2, 1.0))
    assert load(tmp_path) is None
    save(record, tmp_path)
    assert load(tmp_path) == record
    assert record.fits(gpu="NVIDIA H200", memory_mib=143_771, model_set=TURBO.identity)
    assert not record.fits(gpu="NVIDIA H200", memory_mib=143_771, model_set="tiny@1")
    (tmp_path / FILE).write_text("{}")
    assert load(tmp_path) is None
