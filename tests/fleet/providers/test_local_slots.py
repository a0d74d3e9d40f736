"""Slots for workers on this machine: one per GPU of the driver."""

from pathlib import Path

from tests.fake_nvml import H200, RTX_4090, FakeDriver
from trackfarm_fleet.providers.local import slots

IMPORTS = "from dataclasses import astuple; from trackfarm_fleet.providers.local import slots"


def test_slots_are_one_per_gpu(tmp_path: Path) -> None:
    driver = FakeDriver(tmp_path, [H200, "GPU-0||0|0|0", RTX_4090])
    assert driver.result(IMPORTS, "[astuple(slot) for slot in slots(0, price=2.0)]") == [
        ["gpu0", "NVIDIA H200", 143_771, 0, 2.0],
        ["gpu2", "NVIDIA GeForce RTX 4090", 24_564, 2, 2.0],
    ]
    assert driver.result(IMPORTS, "[slot.name for slot in slots(3)]") == ["cpu0", "cpu1", "cpu2"]


def test_slots_without_a_gpu_are_two(tmp_path: Path) -> None:
    driver = FakeDriver(tmp_path, None)
    assert driver.result(IMPORTS, "[slot.name for slot in slots(0)]") == ["cpu0", "cpu1"]
    (slot,) = slots(1, price=0.5)
    assert (slot.gpu, slot.cuda, slot.price_per_hour) == ("cpu", None, 0.5)
    assert slot.memory_mib > 256
