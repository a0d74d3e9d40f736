"""Calibration: planned batches, reported facts, and the command itself on a real engine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from trackfarm import cost
from trackfarm.cost import TrackShape
from trackfarm.model_sets import model_set
from trackfarm.protocol.worker import RegisterRequest
from trackfarm.tiers import measured, tiers
from trackfarm_worker.calibration import FILE, Calibration, Point, save, stored, trials

TURBO = model_set("acestep-v15-turbo")


def point(duration: float, tracks: int, seconds: float) -> Point:
    return Point(
        duration=duration,
        steps=8,
        tracks=tracks,
        batch=tracks,
        condition=0.0,
        denoise=seconds / 2,
        decode=seconds / 2,
        service=seconds,
    )


def calibration(*points: Point) -> Calibration:
    return Calibration(
        gpu="NVIDIA H200", memory_mib=143_771, driver="1", model_set=TURBO.identity, points=points
    )


def test_the_plan_asks_for_one_alone_and_for_many_shortest_first() -> None:
    plan = trials(TURBO, is_gpu=True)
    assert [trial.duration for trial in plan] == sorted(trial.duration for trial in plan)
    assert {(t.duration, t.tracks) for t in plan} >= {(60.0, 1), (60.0, 32), (600.0, 3)}
    assert {trial.steps for trial in plan} == {TURBO.default_steps}
    assert [t.tracks for t in trials(TURBO, is_gpu=True, durations=[10], most=1)] == [1]


def test_the_scheduler_is_told_the_largest_batch_of_each_length_and_the_speed() -> None:
    prior = cost.seconds(TrackShape(60, 8, False), gpu="NVIDIA H200", model_set=TURBO)
    made = calibration(point(60, 1, prior), point(60, 32, prior / 2), point(240, 8, 1.0))
    facts = made.facts(TURBO)
    assert facts["batch_60s"] == 32
    assert facts["seconds_60s"] == pytest.approx(prior / 2, abs=1e-6)
    assert (facts["max_duration"], facts["max_batch"]) == (240, 32)
    assert 0.5 < facts["speed"] < 2.1
    request = RegisterRequest(
        name="w", gpu="H200", memory_mib=1, model_set="tiny", calibration=facts
    )
    assert request.calibration == facts
    assert calibration().facts(TURBO) == {}


def test_what_was_measured_goes_beyond_the_limits_of_the_tier() -> None:
    floor = tiers()["vram16"]
    facts = calibration(point(600, 9, 1.0)).facts(TURBO)
    found = measured(floor, facts, model_set=TURBO, memory_mib=16_376)
    assert (found.name, found.max_duration, found.max_batch) == ("vram16", 600, 9)


def test_a_record_is_kept_and_only_for_its_card_and_weights(tmp_path: Path) -> None:
    made = calibration(point(60, 2, 1.0))
    assert stored(tmp_path) is None
    save(made, tmp_path)
    assert stored(tmp_path) == made
    assert made.fits(gpu="NVIDIA H200", memory_mib=143_771, model_set=TURBO.identity)
    assert not made.fits(gpu="NVIDIA H200", memory_mib=143_771, model_set="tiny@1")
    (tmp_path / FILE).write_text("{}")
    assert stored(tmp_path) is None


def test_the_command_measures_a_real_engine(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TRACKFARM_")}
    environment |= {"TRACKFARM_WORKER_DATA_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "trackfarm_worker", "calibrate", "--json"]
    done = subprocess.run(
        [*command, "--duration", "1", "--most", "2"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout)
    assert [(p["duration"], p["tracks"], p["batch"]) for p in told["points"]] == [
        (1.0, 1, 1),
        (1.0, 2, 2),
    ]
    for found in told["points"]:
        assert found["service"] >= found["denoise"] > 0
        assert found["decode"] > 0
    assert told["facts"]["batch_1s"] == 2
    kept = stored(tmp_path)
    assert kept is not None
    assert kept.model_set == "tiny@1"
    assert kept.facts(model_set("tiny")) == told["facts"]
