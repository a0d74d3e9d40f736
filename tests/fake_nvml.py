"""Fake NVIDIA driver for machines without a GPU: a shared library in place of libnvidia-ml.so.1.

A process loads that library once, so the code under test runs in a process of its own.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).with_suffix(".c")
H200 = "GPU-11|NVIDIA H200|143771|1024|37"
RTX_4090 = "GPU-22|NVIDIA GeForce RTX 4090|24564|2048|50"


class FakeDriver:
    """Driver with the GPUs of `gpus`, one line each as in fake_nvml.c; None: not loaded."""

    def __init__(self, folder: Path, gpus: Sequence[str] | None = ()) -> None:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            pytest.skip("no C compiler to build the fake driver library")
        self._folder = folder / "nvml"
        self._folder.mkdir(parents=True)
        library = self._folder / "libnvidia-ml.so.1"
        flags = ["-shared", "-fPIC", "-D_GNU_SOURCE", "-o", str(library), str(SOURCE)]
        subprocess.run([compiler, *flags], check=True)
        if gpus is not None:
            self.set(gpus)

    def set(self, gpus: Sequence[str]) -> None:
        """Replace the GPUs, also for processes that have loaded the library."""
        partial = self._folder / "gpus.part"
        partial.write_text("".join(f"{line}\n" for line in gpus))
        partial.replace(self._folder / "gpus")

    def environment(self, **variables: str) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"}
        own = {"LD_LIBRARY_PATH": str(self._folder), "FAKE_NVML": str(self._folder / "gpus")}
        return inherited | own | variables

    def result(self, imports: str, expression: str, **variables: str) -> Any:
        """Return the value of the expression, computed in a process with this driver."""
        script = f"import json\n{imports}\nprint(json.dumps({expression}))"
        completed = subprocess.run(
            [sys.executable, "-c", script],
            env=self.environment(**variables),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if completed.returncode:
            raise RuntimeError(completed.stderr)
        return json.loads(completed.stdout)
