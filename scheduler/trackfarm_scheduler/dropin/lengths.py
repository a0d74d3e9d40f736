"""Duration of an untrusted audio file, read from its header in a separate process."""

import json
import resource
import subprocess
import sys
from pathlib import Path

PATIENCE = 10.0  # seconds
MEMORY_BYTES = 512 * 2**20


def seconds_of(file: Path) -> float | None:
    """Return the duration in seconds; None if the file does not state it.

    Workers decode the file and check the duration.
    """
    command = [sys.executable, "-I", "-m", "tinytag", "-f", "json", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as reader:
        resource.prlimit(reader.pid, resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        try:
            output, _ = reader.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            reader.kill()
            return None
    try:
        return float(json.loads(output)["duration"])
    except (ValueError, KeyError, TypeError):
        return None
