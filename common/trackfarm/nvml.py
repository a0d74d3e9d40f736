"""NVIDIA GPUs of this machine, read through the driver's library NVML.

A machine without that library, without a driver or without `nvidia-ml-py` has no GPUs.
"""

from dataclasses import dataclass
from typing import Any, Self

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class NvmlGpu:
    """A GPU. `memory_mib` is its whole memory."""

    name: str
    memory_mib: int


@dataclass(frozen=True, slots=True)
class GpuUsage:
    """Usage of a GPU. `memory_mib`: in use; `utilisation`: share of the last second in which a
    kernel ran."""

    memory_mib: int
    utilisation: float


class NvmlSession:
    """Connection to the driver, as a context. `problem` says why there are no GPUs, or is empty.

    A GPU is named by its index or UUID, as in CUDA_VISIBLE_DEVICES. Indices are in the order of
    the PCI bus, which CUDA follows for equal GPUs.
    """

    def __init__(self) -> None:
        self.problem = ""
        self._nvml: Any = None

    def __enter__(self) -> Self:
        try:
            import pynvml
        except ImportError:
            self.problem = "the package nvidia-ml-py is not installed"
            return self
        try:
            pynvml.nvmlInit()
            self._nvml = pynvml
        except pynvml.NVMLError as error:
            self.problem = str(error)
        return self

    def __exit__(self, *_: object) -> None:
        if self._nvml is not None:
            self._nvml.nvmlShutdown()
            self._nvml = None

    @property
    def driver_version(self) -> str:
        return "" if self._nvml is None else str(self._nvml.nvmlSystemGetDriverVersion())

    def gpus(self) -> dict[int, NvmlGpu]:
        """Return the GPUs that respond, by index."""
        count = 0 if self._nvml is None else self._nvml.nvmlDeviceGetCount()
        gpus = {index: self.gpu(str(index)) for index in range(count)}
        return {index: gpu for index, gpu in gpus.items() if gpu is not None}

    def gpu(self, identifier: str) -> NvmlGpu | None:
        """Return a GPU; None, with the reason in `problem`, if the driver shows none with this
        index or UUID."""
        if self._nvml is None:
            return None
        try:
            handle = self._handle(identifier)
            total = self._memory(handle).total
            return NvmlGpu(str(self._nvml.nvmlDeviceGetName(handle)), int(total) // MIB)
        except self._nvml.NVMLError as error:
            self.problem = str(error)
            return None

    def usage(self, identifier: str) -> GpuUsage | None:
        """Return the current usage; None if the GPU does not report it."""
        if self._nvml is None:
            return None
        try:
            handle = self._handle(identifier)
            percent = int(self._nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
            used = self._memory(handle).used
            return GpuUsage(int(used) // MIB, min(percent / 100, 1.0))
        except self._nvml.NVMLError:
            return None

    def _handle(self, identifier: str) -> Any:
        if identifier.isdecimal():
            return self._nvml.nvmlDeviceGetHandleByIndex(int(identifier))
        return self._nvml.nvmlDeviceGetHandleByUUID(identifier)

    def _memory(self, handle: Any) -> Any:
        # The second version, as in nvidia-smi, does not count the driver's own reserve as used.
        try:
            return self._nvml.nvmlDeviceGetMemoryInfo(handle, version=self._nvml.nvmlMemory_v2)
        except self._nvml.NVMLError_FunctionNotFound:  # drivers before 510
            return self._nvml.nvmlDeviceGetMemoryInfo(handle)
