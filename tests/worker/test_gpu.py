"""Detection of the worker's GPU, and its usage in heartbeats."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fake_nvml import H200, RTX_4090, FakeDriver
from trackfarm_worker import gpu

IMPORTS = "from dataclasses import astuple; from trackfarm_worker import gpu"
DETECT = "astuple(gpu.detect('cuda'))"
SENSOR = """
import sys, time
from trackfarm_worker.gpu import GpuSensor
with GpuSensor(interval=0.02) as sensor:
    for line in sys.stdin:
        while str(usage := sensor.read()) != line.strip():
            time.sleep(0.01)
        print("seen", flush=True)
print(sensor.read(), flush=True)
"""

# The result of the first reading is stored when the second begins.
TWO_READS = """
from threading import Semaphore
from trackfarm.nvml import NvmlSession
from trackfarm_worker.gpu import GpuSensor
begun, usage = Semaphore(0), NvmlSession.usage
NvmlSession.usage = lambda session, card: (begun.release(), usage(session, card))[1]
sensor = GpuSensor(interval=0.01).__enter__()
assert begun.acquire(timeout=10) and begun.acquire(timeout=10)
"""


def test_detect_returns_the_memory_of_a_machine_without_gpu() -> None:
    detected = gpu.detect("cpu")
    assert detected.name == "cpu"
    assert detected.memory_mib > 256
    assert gpu.detect("cpu", name="pretend", memory_mib=8_192) == gpu.GpuInfo("pretend", 8_192, "")


def test_detect_returns_the_first_visible_gpu(tmp_path: Path) -> None:
    driver = FakeDriver(tmp_path, [H200, RTX_4090])
    assert driver.result(IMPORTS, DETECT) == ["NVIDIA H200", 143_771, "570.86.15"]
    for visible in ("1,0", "GPU-22"):
        detected = driver.result(IMPORTS, DETECT, CUDA_VISIBLE_DEVICES=visible)
        assert detected == ["NVIDIA GeForce RTX 4090", 24_564, "570.86.15"]


def test_detect_prefers_the_values_of_the_settings(tmp_path: Path) -> None:
    driver = FakeDriver(tmp_path, [H200])
    detected = "astuple(gpu.detect('cuda', name='L4', memory_mib=8192))"
    assert driver.result(IMPORTS, detected) == ["L4", 8_192, "570.86.15"]


@pytest.mark.parametrize(("gpus", "reason"), [([], "Not Found"), (None, "Driver Not Loaded")])
def test_detect_says_why_there_is_no_gpu(
    tmp_path: Path, gpus: list[str] | None, reason: str
) -> None:
    driver = FakeDriver(tmp_path, gpus)
    with pytest.raises(RuntimeError, match=f"the NVIDIA driver shows no GPU: {reason}"):
        driver.result(IMPORTS, DETECT)


def test_sensor_follows_its_own_gpu(tmp_path: Path) -> None:
    driver = FakeDriver(tmp_path, [RTX_4090, H200])
    with subprocess.Popen(
        [sys.executable, "-c", SENSOR],
        env=driver.environment(CUDA_VISIBLE_DEVICES="1"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("GpuUsage(memory_mib=1024, utilisation=0.37)\n")
        process.stdin.flush()
        assert process.stdout.readline() == "seen\n"
        driver.set([RTX_4090, "GPU-11|NVIDIA H200|143771|4096|90"])
        process.stdin.write("GpuUsage(memory_mib=4096, utilisation=0.9)\n")
        process.stdin.close()
        assert process.stdout.readline() == "seen\n"
        assert process.stdout.readline() == "None\n", "no usage after the end of the context"


def test_sensor_without_a_driver_reads_nothing(tmp_path: Path) -> None:
    driver = FakeDriver(tmp_path, None)
    assert driver.result(TWO_READS, "sensor.read()") is None
