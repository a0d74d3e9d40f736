import pytest

from trackfarm.model_sets import model_set
from trackfarm_worker.engine.child.batching import Limit
from trackfarm_worker.engine.child.memory import MemoryLevel, first_level, memory_limits
from trackfarm_worker.engine.options import Options

STD, XL, TINY = (model_set(n) for n in ("acestep-v15-turbo", "acestep-v15-xl-turbo", "tiny"))


def test_a_cpu_makes_small_batches() -> None:
    rung = first_level("cpu", TINY, 0.0)
    found = memory_limits("cpu", TINY, 0.0, rung, Options())
    assert found.limit == Limit(tracks=8, seconds=240)
    assert (found.window, found.windows) == (256, 1)


@pytest.mark.parametrize(
    ("gb", "chosen", "seconds"),
    [(8, "std", 720), (8, "XL", 0), (16, "XL", 720), (151, "std", 1920)],
)
def test_a_card_is_limited_by_its_memory_and_by_what_gains_speed(
    gb: float, chosen: str, seconds: float
) -> None:
    models = {"std": STD, "XL": XL}[chosen]
    rung = first_level("cuda", models, gb)
    assert memory_limits("cuda", models, gb, rung, Options()).limit.seconds == pytest.approx(
        seconds, abs=1 if seconds else 0.1
    )


def test_offloading_makes_room_and_a_rung_takes_it() -> None:
    small = MemoryLevel(seconds=None, window=64, offload=False)
    lean = MemoryLevel(seconds=None, window=64, offload=True)
    kept = MemoryLevel(seconds=60.0, window=64, offload=True)
    seconds = [
        memory_limits("cuda", STD, 8.0, r, Options()).limit.seconds for r in (small, lean, kept)
    ]
    assert seconds[0] < 240 < seconds[1]
    assert seconds[2] == 60.0


def test_a_large_card_decodes_in_large_windows_and_a_small_one_in_small_ones() -> None:
    assert first_level("cuda", STD, 151) == MemoryLevel(seconds=None, window=512, offload=False)
    assert first_level("cuda", STD, 6.4) == MemoryLevel(seconds=None, window=128, offload=True)


def test_a_device_that_gave_up_a_window_decodes_one_at_a_time() -> None:
    found = memory_limits(
        "cuda", STD, 24.0, MemoryLevel(seconds=None, window=256, offload=False), Options()
    )
    assert found.windows == 1


def test_options_limit_further() -> None:
    rung = first_level("cuda", STD, 141)
    options = Options(batch_tracks=2, batch_seconds=90.0)
    assert memory_limits("cuda", STD, 141, rung, options).limit == Limit(tracks=2, seconds=90.0)
