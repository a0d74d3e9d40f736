"""GPU memory in use and utilisation, from nvidia-smi."""

import os
import shutil
import subprocess
import threading
from dataclasses import dataclass
from typing import Self

INTERVAL_SECONDS = 5  # the interval of the slowest heartbeat
QUERY = "memory.used,utilization.gpu"


@dataclass(frozen=True, slots=True)
class Reading:
    """GPU statistics. `memory_mib`: in use; `utilisation`: share of the last second in which a
    kernel ran."""

    memory_mib: int
    utilisation: float


def reading_of(line: str) -> Reading | None:
    """Parse one line of `nvidia-smi`; None if the GPU does not report the values (`[N/A]`)."""
    try:
        memory, percent = (int(part) for part in line.split(","))
    except ValueError:
        return None
    return Reading(memory, min(max(percent / 100, 0.0), 1.0))


class Sensor:
    """Child process that prints a line every `interval` seconds, and a thread that keeps the
    latest. Without nvidia-smi, or after the child has exited, there is no reading."""

    def __init__(self, *, interval: int = INTERVAL_SECONDS) -> None:
        self._interval = interval
        self._child: subprocess.Popen[str] | None = None
        self._thread: threading.Thread | None = None
        self._last: Reading | None = None

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

    def read(self) -> Reading | None:
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
