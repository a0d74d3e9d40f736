"""GPU of this worker, detected without torch: name, memory, and current usage."""

import os
import threading
from dataclasses import dataclass
from typing import Self

from trackfarm.nvml import MIB, GpuUsage, NvmlSession

INTERVAL_SECONDS = 5.0  # the interval of the slowest heartbeat


@dataclass(frozen=True, slots=True)
class GpuInfo:
    """Detected hardware. `memory_mib` is the GPU's memory, or the machine's RAM without a GPU."""

    name: str
    memory_mib: int
    driver: str


def detect(device: str, *, name: str = "", memory_mib: int = 0) -> GpuInfo:
    """Return the first visible GPU, or the machine itself for a CPU device; `name` and
    `memory_mib` override the detected values.

    Raises:
        RuntimeError: `device` is a GPU, but the driver shows none.
    """
    detected = _first_gpu() if device.startswith("cuda") else _cpu()
    return GpuInfo(name or detected.name, memory_mib or detected.memory_mib, detected.driver)


class GpuSensor:
    """Thread that reads the usage of the first visible GPU every `interval` seconds, so that a
    driver that hangs cannot delay a heartbeat."""

    def __init__(self, *, interval: float = INTERVAL_SECONDS) -> None:
        self._interval = interval
        self._usage: GpuUsage | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gpu-sensor", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(5)

    def read(self) -> GpuUsage | None:
        """Return the latest usage; None without a GPU, or after the end of the context."""
        return self._usage

    def _run(self) -> None:
        with NvmlSession() as nvml:
            while not self._stopping.is_set():
                self._usage = nvml.usage(_visible())
                self._stopping.wait(self._interval)
        self._usage = None


def _cpu() -> GpuInfo:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MIB
    return GpuInfo("cpu", memory, "")


def _first_gpu() -> GpuInfo:
    with NvmlSession() as nvml:
        gpu = nvml.gpu(_visible())
        if gpu is None:
            raise RuntimeError(
                f"device is cuda, but the NVIDIA driver shows no GPU: {nvml.problem}"
            )
        return GpuInfo(gpu.name, gpu.memory_mib, nvml.driver_version)


def _visible() -> str:
    """Return the index or UUID of the first visible GPU: one worker has one GPU."""
    return os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip() or "0"
