"""GPU name and memory of this machine, detected without importing torch.

GPU memory in use and utilisation, from nvidia-smi.
"""

import os
import shutil
import subprocess
import threading
from dataclasses import dataclass
from typing import Self

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class GpuInfo:
    """Detected hardware. `memory_mib` is the GPU's memory, or the machine's RAM without a GPU."""

    gpu: str
    memory_mib: int
    driver: str


def look(device: str, *, gpu: str = "", memory_mib: int = 0) -> GpuInfo:
    """Ask the driver about the first visible GPU; `gpu` and `memory_mib` override its values.

    Raises:
        RuntimeError: `device` is a GPU, but `nvidia-smi` is not installed or shows none.
    """
    detected = _nvidia() if device.startswith("cuda") else _cpu()
    return GpuInfo(gpu or detected.gpu, memory_mib or detected.memory_mib, detected.driver)


def _cpu() -> GpuInfo:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MIB
    return GpuInfo("cpu", memory, "")


def _nvidia() -> GpuInfo:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        raise RuntimeError("device is cuda, but nvidia-smi is not installed on this machine")
    query = "--query-gpu=name,memory.total,driver_version"
    command = [tool, query, "--format=csv,noheader,nounits"]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0]
    if visible:
        command.append(f"--id={visible}")
    completed = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if completed.returncode or not completed.stdout.strip():
        raise RuntimeError(
            f"nvidia-smi shows no GPU: {(completed.stderr or completed.stdout).strip()}"
        )
    name, memory, driver = (part.strip() for part in completed.stdout.splitlines()[0].split(","))
    return GpuInfo(name, int(memory), driver)


INTERVAL_SECONDS = 5  # the interval of the slowest heartbeat
QUERY = "memory.used,utilization.gpu"


@dataclass(frozen=True, slots=True)
class GpuStats:
    """GPU statistics. `memory_mib`: in use; `utilisation`: share of the last second in which a
    kernel ran."""

    memory_mib: int
    utilisation: float


def reading_of(line: str) -> GpuStats | None:
    """Parse one line of `nvidia-smi`; None if the GPU does not report the values (`[N/A]`)."""
    try:
        memory, percent = (int(part) for part in line.split(","))
    except ValueError:
        return None
    return GpuStats(memory, min(max(percent / 100, 0.0), 1.0))


class GpuSensor:
    """Child process that prints a line every `interval` seconds, and a thread that keeps the
    latest. Without nvidia-smi, or after the child has exited, there is no reading."""

    def __init__(self, *, interval: int = INTERVAL_SECONDS) -> None:
        self._interval = interval
        self._child: subprocess.Popen[str] | None = None
        self._thread: threading.Thread | None = None
        self._last: GpuStats | None = None

    def __enter__(self) -> Self:
        tool = shutil.which("nvidia-smi")
        if tool is not None:
            self._child = subprocess.Popen(
                [tool, *_arguments(self._interval)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            self._thread = threading.Thread(target=self._listen, name="sensor", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._child is not None and self._thread is not None:
            self._child.kill()
            self._child.wait()
            self._thread.join(5)

    def read(self) -> GpuStats | None:
        return self._last

    def _listen(self) -> None:
        assert self._child is not None
        assert self._child.stdout is not None
        with self._child.stdout as lines:
            for line in lines:
                self._last = reading_of(line)
        self._last = None


def _arguments(interval: int) -> list[str]:
    """Return the arguments for the first visible GPU, like `machine`: one worker has one GPU."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0] or "0"
    return [
        f"--query-gpu={QUERY}",
        "--format=csv,noheader,nounits",
        f"--loop={interval}",
        f"--id={visible}",
    ]
