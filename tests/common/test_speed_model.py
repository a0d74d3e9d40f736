"""The learning cost model, against simulated machines with known true speeds."""

import math
import random
from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackfarm.cost import TrackShape, seconds, stages
from trackfarm.model_sets import UnknownModelSet, model_set
from trackfarm.speed_model import Estimate, SpeedModel

TURBO = model_set("acestep-v15-turbo")
GPU = "NVIDIA GeForce RTX 4090"
MINUTE = TrackShape(60, 8, False)


@dataclass
class SimulatedMachine:
    """Simulated machine: `fixed` seconds more than the prior, and multiples of its stages."""

    rng: random.Random
    fixed: float = 0.1
    denoise: float = 1.6
    decode: float = 0.7
    noise: float = 0.1

    def expected(self, shape: TrackShape) -> float:
        prior = stages(shape, gpu=GPU, model_set=TURBO)
        return self.fixed + prior.fixed + self.denoise * prior.denoise + self.decode * prior.decode

    def makes(self) -> tuple[TrackShape, float]:
        shape = TrackShape(self.rng.uniform(20, 600), self.rng.choice([4, 8, 16]), False)
        deviation = self.noise * seconds(shape, gpu=GPU, model_set=TURBO)
        return shape, max(self.expected(shape) + self.rng.gauss(0, deviation), 0.01)

    def teaches(self, number: int, model: SpeedModel | None = None) -> SpeedModel:
        model = model or SpeedModel(GPU, TURBO)
        for _ in range(number):
            model = model.observe(*self.makes())
        return model


def test_speed_model_without_tracks_is_the_prior_within_a_factor_of_two() -> None:
    guess = SpeedModel(GPU, TURBO).predict(MINUTE)
    assert guess.mean == pytest.approx(seconds(MINUTE, gpu=GPU, model_set=TURBO))
    assert guess.low == pytest.approx(guess.mean / 2, rel=0.2)
    assert 1.5 < guess.high / guess.mean < 2


def test_speed_model_learns_each_stage() -> None:
    machine = SimulatedMachine(random.Random(1))
    model = machine.teaches(500)
    for shape in (TrackShape(30, 4, False), TrackShape(240, 8, False), TrackShape(600, 16, False)):
        assert model.predict(shape).mean == pytest.approx(machine.expected(shape), rel=0.03)


def test_speed_model_uncertainty_shrinks_with_observations() -> None:
    machine = SimulatedMachine(random.Random(2))
    doubts = []
    for number in (0, 1, 10, 100, 1000):
        doubts.append(machine.teaches(number).predict_total({MINUTE: 10_000}).sd)
    assert doubts == sorted(doubts, reverse=True)
    assert doubts[-1] < doubts[0] / 50


def test_speed_model_uncertainty_of_the_machine_does_not_average_out() -> None:
    model = SimulatedMachine(random.Random(3)).teaches(5)
    one, many = (model.predict_total({MINUTE: n}) for n in (1, 1_000_000))
    assert many.mean == pytest.approx(1_000_000 * one.mean)
    assert 0.01 < many.sd / many.mean < one.sd / one.mean
    trained = SimulatedMachine(random.Random(3)).teaches(3_000)
    one, many = (trained.predict_total({MINUTE: n}) for n in (1, 10_000))
    assert many.sd / many.mean < 0.1 * one.sd / one.mean


@pytest.mark.parametrize("tracks_seen", [10, 100, 1000])
def test_predict_interval_holds_four_of_five_tracks(tracks_seen: int) -> None:
    """Checked over many machines, none of which matches the prior."""
    hits = total = 0
    for seed in range(30):
        rng = random.Random(seed)
        common = rng.gauss(0, 0.4)
        machine = SimulatedMachine(
            rng,
            fixed=rng.uniform(0, 0.1),
            denoise=max(0.2, 1 + common + rng.gauss(0, 0.25)),
            decode=max(0.2, 1 + common + rng.gauss(0, 0.25)),
            noise=0.2,
        )
        model = machine.teaches(tracks_seen)
        for _ in range(40):
            shape, service = machine.makes()
            estimate = model.predict(shape)
            hits += estimate.low <= service <= estimate.high
            total += 1
    assert hits / total == pytest.approx(0.8, abs=0.06)


def test_predict_total_interval_holds_totals() -> None:
    hits = 0
    for seed in range(60):
        rng = random.Random(seed)
        speed = max(0.3, 1 + rng.gauss(0, 0.4))
        machine = SimulatedMachine(rng, fixed=0.0, denoise=speed, decode=speed, noise=0.2)
        model = machine.teaches(20)
        work = [machine.makes() for _ in range(300)]
        estimate = model.predict_total(Counter(shape for shape, _ in work))
        hits += estimate.low <= sum(service for _, service in work) <= estimate.high
    assert 0.65 < hits / 60 < 0.95


def test_observe_total_teaches_as_single_tracks_do() -> None:
    machine = SimulatedMachine(random.Random(4))
    model = SpeedModel(GPU, TURBO)
    for _ in range(400):
        tracks = [machine.makes() for _ in range(4)]
        model = model.observe_total(
            Counter(s for s, _ in tracks), sum(service for _, service in tracks)
        )
    assert model.tracks == 1600
    assert model.predict(MINUTE).mean == pytest.approx(machine.expected(MINUTE), rel=0.05)


def test_observe_clips_outliers() -> None:
    machine = SimulatedMachine(random.Random(5))
    model = machine.teaches(300)
    before = model.predict(MINUTE).mean
    stalled = model.observe(MINUTE, 3_600)
    assert stalled.predict(MINUTE).mean == pytest.approx(before, rel=0.02)


def test_speed_model_learns_a_machine_far_from_the_prior() -> None:
    slow = SimulatedMachine(random.Random(6), fixed=2, denoise=12, decode=15)
    model = slow.teaches(60)
    assert model.predict(MINUTE).mean == pytest.approx(slow.expected(MINUTE), rel=0.15)
    assert model.relative_speed == pytest.approx(1 / 13.5, rel=0.5)


def test_speed_model_follows_drift() -> None:
    rng = random.Random(7)
    model = SimulatedMachine(rng, denoise=1, decode=1).teaches(4_000)
    slower = SimulatedMachine(rng, denoise=2, decode=2)
    model = slower.teaches(6_000, model)
    assert model.predict(MINUTE).mean == pytest.approx(slower.expected(MINUTE), rel=0.2)
    assert model.tracks == 10_000
    assert model.weight < 3_000


def test_relative_speed_is_relative_to_the_prior() -> None:
    assert SpeedModel(GPU, TURBO).relative_speed == pytest.approx(1)
    double_speed = SimulatedMachine(random.Random(8), fixed=0, denoise=0.5, decode=0.5).teaches(500)
    assert double_speed.relative_speed == pytest.approx(2, rel=0.05)


def test_is_slow_tells_a_slow_worker_from_an_unlucky_one() -> None:
    model = SimulatedMachine(random.Random(9)).teaches(500)
    work = {MINUTE: 50}
    usual = model.predict_total(work).mean
    assert not model.is_slow(work, usual * 1.1)
    assert model.is_slow(work, usual * 1.5)
    estimate = model.predict(MINUTE)
    assert not model.is_slow({MINUTE: 1}, estimate.mean + 2 * estimate.sd)
    assert not SpeedModel(GPU, TURBO).is_slow(work, usual * 1.5), "the prior accuses nobody"


def test_speed_model_json_is_small_and_round_trips() -> None:
    model = SimulatedMachine(random.Random(10)).teaches(50)
    text = model.to_json()
    assert len(text) < 600
    restored = SpeedModel.from_json(text)
    assert restored == model
    assert restored.predict(MINUTE) == model.predict(MINUTE)


def test_from_json_of_another_prior_table_is_untrained() -> None:
    model = SimulatedMachine(random.Random(11)).teaches(50)
    prior = seconds(MINUTE, gpu=GPU, model_set=TURBO)
    changed = model.to_json().replace(repr(prior), repr(2 * prior))
    assert SpeedModel.from_json(changed) == SpeedModel(GPU, TURBO)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"version":1}', '{"version":9}', '{"version":1,"gpu":"x"}']
)
def test_from_json_refuses_other_text(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        SpeedModel.from_json(text)


def test_from_json_refuses_an_unknown_model_set() -> None:
    with pytest.raises(UnknownModelSet):
        SpeedModel.from_json(SpeedModel(GPU, TURBO).to_json().replace(TURBO.name, "gone"))


@pytest.mark.parametrize("took", [0, -1, math.inf, math.nan])
def test_observe_refuses_impossible_seconds(took: float) -> None:
    with pytest.raises(ValueError, match="seconds"):
        SpeedModel(GPU, TURBO).observe(MINUTE, took)
    with pytest.raises(ValueError, match="no tracks"):
        SpeedModel(GPU, TURBO).observe_total({}, 1)


@given(
    st.lists(st.tuples(st.floats(10, 600), st.integers(1, 20), st.floats(1e-3, 1e5)), max_size=30),
    st.floats(10, 600),
)
def test_speed_model_of_any_history_is_finite(
    history: list[tuple[float, int, float]], duration: float
) -> None:
    model = SpeedModel(GPU, TURBO)
    for length, steps, service in history:
        model = model.observe(TrackShape(length, steps, False), service)
    estimate = model.predict(TrackShape(duration, 8, False))
    assert 0 < estimate.low <= estimate.high < math.inf
    assert 0 < estimate.mean < math.inf
    assert 0 < estimate.sd < math.inf
    assert model.relative_speed > 0


def test_estimate_without_uncertainty_has_no_width() -> None:
    assert Estimate(3, 0).low == Estimate(3, 0).high == 3
    assert Estimate(100, 1).high - 100 == pytest.approx(1.28, rel=0.02)
