"""How long a stranger's audio file is, read from its head by a process of its own."""

import json
import resource
import subprocess
import sys
from pathlib import Path

PATIENCE = 10.0  # seconds
MEMORY_BYTES = 512 * 2**20


def seconds_of(file: Path) -> float | None:
    """The length in seconds; None where the file does not say. Workers decode it and have the last
    word."""
    command = [sys.executable, "-I", "-m", "tinytag", "-f", "json", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as reader:
        resource.prlimit(reader.pid, resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        try:
            said, _ = reader.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            reader.kill()
            return None
    try:
        return float(json.loads(said)["duration"])
    except (ValueError, KeyError, TypeError):
        return None
