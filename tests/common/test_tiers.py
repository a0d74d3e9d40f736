"""The tier of a card, and the tier that a track needs."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackfarm.model_sets import model_set, model_sets
from trackfarm.tiers import (
    MAX_BATCH,
    MAX_DURATION,
    Tier,
    reachable_vram,
    residency,
    smallest_tier_for,
    tier_of,
    tiers,
    worker_limits,
)


@pytest.mark.parametrize(
    ("memory_mib", "name"),
    [
        (143_771, "vram141"),  # H200
        (81_559, "vram80"),  # H100 and A100-80
        (46_068, "vram48"),  # L40S, A40
        (32_607, "vram24"),  # RTX 5090
        (24_564, "vram24"),  # RTX 4090
        (23_034, "vram24"),  # L4: ECC takes a sixteenth
        (16_376, "vram16"),  # RTX 4080
        (12_288, "vram12"),  # RTX 3060
        (8_192, "vram8"),
        (6_144, "vram6"),
        (4_096, "vram4"),
        (15_360, "vram16"),  # T4
        (11_264, "vram8"),  # RTX 2080 Ti
        (3_809, None),  # just below 0.93 of 4 GiB
    ],
)
def test_tier_of_takes_memory_as_cards_report_it(memory_mib: int, name: str | None) -> None:
    tier = tier_of(memory_mib)
    assert (tier.name if tier else None) == name


def test_tiers_have_rising_limits() -> None:
    rows = list(tiers().values())
    assert [t.vram for t in rows] == sorted({t.vram for t in rows})
    for small, large in pairwise(rows):
        assert small.max_duration <= large.max_duration
        assert small.max_batch <= large.max_batch
    assert all(name == tier.name for name, tier in tiers().items())


@given(st.integers(0, 200_000), st.integers(0, 200_000))
def test_tier_of_more_memory_is_never_lower(one: int, other: int) -> None:
    small, large = (tier_of(mib) for mib in sorted([one, other]))
    assert (small.vram if small else 0) <= (large.vram if large else 0)


@given(st.floats(10, 600), st.sampled_from([0, 4, 8, 16, 24, 48]))
def test_smallest_tier_for_is_the_smallest_that_fits(duration: float, min_vram: int) -> None:
    tier = smallest_tier_for(duration, min_vram=min_vram, limited=True)
    assert tier is not None
    assert tier.vram >= min_vram
    assert tier.max_duration >= duration
    below = [t for t in tiers().values() if min_vram <= t.vram < tier.vram]
    assert all(t.max_duration < duration for t in below)


def test_smallest_tier_for_respects_the_limits() -> None:
    assert smallest_tier_for(601, min_vram=0, limited=True) is None
    assert smallest_tier_for(10, min_vram=200, limited=False) is None
    unlimited = smallest_tier_for(600, min_vram=0, limited=False)
    assert unlimited is not None
    assert unlimited.name == "vram4"


def _taken_gb(name: str, memory_mib: int) -> float:
    """Return the GB of weights, CUDA and one decoder window (docs/models.md)."""
    row, placement = model_set(name), residency(model_set(name), memory_mib)
    weights = row.lean_weights_gb if placement.offload else row.weights_gb
    weights -= row.int8_saves_gb if placement.int8 else 0.0
    return 1.0 + weights + 1.1 * (0.17 + 0.0027 * placement.window)


@pytest.mark.parametrize("name", [row.name for row in model_sets().values() if row.min_vram])
def test_residency_fits_into_the_card(name: str) -> None:
    for vram in (4, 6, 8, 12, 16, 24, 48, 80, 141):
        if vram >= model_set(name).min_vram:
            assert _taken_gb(name, vram * 1024) <= 0.93 * vram * 1.024**3


def test_residency_offloads_encoders_of_small_cards() -> None:
    std, xl = model_set("acestep-v15-turbo"), model_set("acestep-v15-xl-turbo")
    assert residency(std, 8_192).offload
    assert not residency(std, 12_288).offload
    assert residency(xl, 12_288).offload
    assert not residency(xl, 16_376).offload
    assert residency(std, 2_048) == residency(std, 4_096)


def test_residency_has_integer_weights_on_the_smallest_cards_only() -> None:
    std = model_set("acestep-v15-turbo")
    assert [residency(std, mib).int8 for mib in (4_096, 6_144, 24_564)] == [True, False, False]


def limits_of(memory_mib: int, facts: dict[str, float], name: str = "acestep-v15-turbo") -> Tier:
    """Return the limits of a worker that reports these measurements."""
    tier = tier_of(memory_mib)
    assert tier
    return worker_limits(tier, facts, model_set=model_set(name), memory_mib=memory_mib)


def test_worker_limits_are_at_most_four_times_the_table() -> None:
    floor = tiers()["vram12"]
    assert limits_of(12_288, {}) == floor
    longer = limits_of(12_288, {MAX_DURATION: 240.0, MAX_BATCH: 9.0})
    assert (longer.name, longer.max_duration, longer.max_batch) == ("vram12", 240, 9)
    lied = limits_of(12_288, {MAX_DURATION: 1e9, MAX_BATCH: 1e9})
    assert (lied.max_duration, lied.max_batch) == (480, 16)
    assert limits_of(24_564, {MAX_DURATION: 1e9}).max_duration == 600


@pytest.mark.parametrize("wrong", [0.0, -5.0, math.nan, math.inf, -math.inf])
def test_worker_limits_are_never_below_the_table(wrong: float) -> None:
    assert limits_of(12_288, {MAX_DURATION: wrong, MAX_BATCH: wrong}) == tiers()["vram12"]


def test_worker_limits_respect_the_memory_formula() -> None:
    """XL weights leave no free memory on 4 GB and on 8 GB."""
    longest = {MAX_DURATION: 1e9}
    assert limits_of(8_192, longest, "acestep-v15-xl-turbo").max_duration == 60
    assert limits_of(8_192, longest).max_duration == 240
    assert limits_of(6_144, longest).max_duration == 120
    assert limits_of(4_096, longest, "acestep-v15-xl-turbo").max_duration == 30


def test_reachable_tier_is_the_smallest_with_such_tracks() -> None:
    assert reachable_vram(limits_of(12_288, {})) == 12
    assert reachable_vram(limits_of(12_288, {MAX_DURATION: 299.0})) == 12
    assert reachable_vram(limits_of(12_288, {MAX_DURATION: 300.0})) == 16
    assert reachable_vram(limits_of(16_376, {MAX_DURATION: 600.0})) == 24
    assert reachable_vram(limits_of(143_771, {MAX_DURATION: 600.0})) == 141


@given(
    st.integers(3_900, 200_000),
    st.floats(allow_nan=True),
    st.sampled_from([name for name, row in model_sets().items() if row.min_vram]),
)
def test_worker_limits_of_any_calibration_are_bounded(
    memory_mib: int, words: float, name: str
) -> None:
    tier = tier_of(memory_mib)
    assert tier
    limits = limits_of(memory_mib, {MAX_DURATION: words, MAX_BATCH: words}, name)
    assert tier.max_duration <= limits.max_duration <= min(600, 4 * tier.max_duration)
    assert tier.max_batch <= limits.max_batch <= 4 * tier.max_batch
    assert reachable_vram(limits) in {
        tier.vram,
        *(t.vram for t in tiers().values() if t.vram <= 24),
    }
    assert smallest_tier_for(limits.max_duration, min_vram=0, limited=True) is not None
