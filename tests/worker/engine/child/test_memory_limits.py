import pytest

from trackfarm.model_sets import model_set
from trackfarm_worker.engine.child.batching import BatchLimit
from trackfarm_worker.engine.child.memory import MemoryLevel, first_level, memory_limits
from trackfarm_worker.engine.options import EngineOptions

STD, XL, TINY = (model_set(n) for n in ("acestep-v15-turbo", "acestep-v15-xl-turbo", "tiny"))


def test_limits_of_a_cpu_are_small() -> None:
    level = first_level("cpu", TINY, 0.0)
    limits = memory_limits("cpu", TINY, 0.0, level, EngineOptions())
    assert limits.limit == BatchLimit(tracks=8, pass_seconds=240)
    assert (limits.window, limits.windows) == (256, 1)


@pytest.mark.parametrize(
    ("gb", "chosen", "seconds"),
    [(8, "std", 720), (8, "XL", 0), (16, "XL", 720), (151, "std", 1920)],
)
def test_limits_of_a_gpu_follow_its_memory_and_the_gain_in_speed(
    gb: float, chosen: str, seconds: float
) -> None:
    models = {"std": STD, "XL": XL}[chosen]
    level = first_level("cuda", models, gb)
    assert memory_limits(
        "cuda", models, gb, level, EngineOptions()
    ).limit.pass_seconds == pytest.approx(seconds, abs=1 if seconds else 0.1)


def test_limits_grow_with_offloading_and_shrink_with_the_level() -> None:
    small = MemoryLevel(pass_seconds=None, window=64, offload=False)
    lean = MemoryLevel(pass_seconds=None, window=64, offload=True)
    kept = MemoryLevel(pass_seconds=60.0, window=64, offload=True)
    seconds = [
        memory_limits("cuda", STD, 8.0, r, EngineOptions()).limit.pass_seconds
        for r in (small, lean, kept)
    ]
    assert seconds[0] < 240 < seconds[1]
    assert seconds[2] == 60.0


def test_first_level_has_larger_windows_on_a_larger_gpu() -> None:
    assert first_level("cuda", STD, 151) == MemoryLevel(
        pass_seconds=None, window=512, offload=False
    )
    assert first_level("cuda", STD, 6.4) == MemoryLevel(pass_seconds=None, window=128, offload=True)


def test_limits_allow_one_window_after_its_size_was_reduced() -> None:
    limits = memory_limits(
        "cuda",
        STD,
        24.0,
        MemoryLevel(pass_seconds=None, window=256, offload=False),
        EngineOptions(),
    )
    assert limits.windows == 1


def test_limits_respect_the_options() -> None:
    level = first_level("cuda", STD, 141)
    options = EngineOptions(batch_tracks=2, batch_seconds=90.0)
    assert memory_limits("cuda", STD, 141, level, options).limit == BatchLimit(
        tracks=2, pass_seconds=90.0
    )
