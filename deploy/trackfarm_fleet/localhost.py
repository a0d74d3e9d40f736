"""Slots for workers on this machine: one per GPU, or a number of slots without one."""

import os
import shutil
import subprocess

from trackfarm_fleet.providers.local import Slot

MIB = 1 << 20
CPU = "cpu"


def slots(workers: int, *, price: float = 0.0) -> list[Slot]:
    """Return `workers` slots without a GPU; with 0, one per GPU, or two if there is none. `price`
    in $ an hour each."""
    cards = [] if workers else _cards()
    if cards:
        return [Slot(f"gpu{index}", name, memory, index, price) for index, name, memory in cards]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MIB
    return [Slot(f"cpu{n}", CPU, memory, None, price) for n in range(workers or 2)]


def _cards() -> list[tuple[int, str, int]]:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    query = [tool, "--query-gpu=index,name,memory.total", "--format=csv,noheader,nounits"]
    result = subprocess.run(query, capture_output=True, text=True, timeout=30, check=False)
    rows = [line.split(",") for line in result.stdout.splitlines() if line.count(",") == 2]
    return [(int(index), name.strip(), int(memory)) for index, name, memory in rows]
