"""What this machine is: its GPU by name and memory, found out without importing torch."""

import os
import shutil
import subprocess
from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Machine:
    """`memory_mib` is the GPU's memory, or the machine's own where there is no GPU."""

    gpu: str
    memory_mib: int
    driver: str


def look(device: str, *, gpu: str = "", memory_mib: int = 0) -> Machine:
    """Asks the driver about the first visible GPU; `gpu` and `memory_mib` win over what it says.

    Raises:
        RuntimeError: a GPU was asked for and `nvidia-smi` shows none.
    """
    found = _nvidia() if device.startswith("cuda") else _cpu()
    return Machine(gpu or found.gpu, memory_mib or found.memory_mib, found.driver)


def _cpu() -> Machine:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MIB
    return Machine("cpu", memory, "")


def _nvidia() -> Machine:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        raise RuntimeError("device is cuda, but nvidia-smi is not installed here")
    query = "--query-gpu=name,memory.total,driver_version"
    asked = [tool, query, "--format=csv,noheader,nounits"]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0]
    if visible:
        asked.append(f"--id={visible}")
    done = subprocess.run(asked, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode or not done.stdout.strip():
        raise RuntimeError(f"nvidia-smi shows no GPU: {(done.stderr or done.stdout).strip()}")
    name, memory, driver = (part.strip() for part in done.stdout.splitlines()[0].split(","))
    return Machine(name, int(memory), driver)
