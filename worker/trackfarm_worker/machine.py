"""GPU name and memory of this machine, detected without importing torch."""

import os
import shutil
import subprocess
from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Machine:
    """Detected hardware. `memory_mib` is the GPU's memory, or the machine's RAM without a GPU."""

    gpu: str
    memory_mib: int
    driver: str


def look(device: str, *, gpu: str = "", memory_mib: int = 0) -> Machine:
    """Ask the driver about the first visible GPU; `gpu` and `memory_mib` override its values.

    Raises:
        RuntimeError: `device` is a GPU, but `nvidia-smi` is not installed or shows none.
    """
    detected = _nvidia() if device.startswith("cuda") else _cpu()
    return Machine(gpu or detected.gpu, memory_mib or detected.memory_mib, detected.driver)


def _cpu() -> Machine:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MIB
    return Machine("cpu", memory, "")


def _nvidia() -> Machine:
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
    return Machine(name, int(memory), driver)
