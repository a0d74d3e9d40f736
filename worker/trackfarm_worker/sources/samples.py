"""A `.npy` file of stereo samples whose length is known only when it is finished."""

from pathlib import Path
from typing import Self

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray


class SampleFile:
    """float32 of shape (frames, 2). The file is there only after `finish`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path.with_name(f"{path.name}.part")
        self.frames = 0

    def __enter__(self) -> Self:
        self._file = self._partial.open("wb")
        self._head()
        self._data_at = self._file.tell()
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._partial.unlink(missing_ok=True)

    def write(self, block: NDArray[np.float32]) -> None:
        """Appends (n, 2) samples."""
        self._file.write(np.ascontiguousarray(block, dtype="<f4").data)
        self.frames += len(block)

    def finish(self) -> None:
        # numpy leaves room in the header for the first axis to grow, so it keeps its length.
        self._file.seek(0)
        self._head()
        assert self._file.tell() == self._data_at, "the header has the length that it had"
        self._file.close()
        self._partial.replace(self._path)

    def _head(self) -> None:
        header = {"descr": "<f4", "fortran_order": False, "shape": (self.frames, 2)}
        npy.write_array_header_1_0(self._file, header)
