"""Writer of a `.npy` file of stereo samples of unknown length."""

from pathlib import Path
from typing import Self

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray


class SampleFile:
    """A float32 file of shape (frames, 2). It appears under its name only after `finish`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path.with_name(f"{path.name}.part")
        self.frames = 0

    def __enter__(self) -> Self:
        self._file = self._partial.open("wb")
        self._write_header()
        self._data_at = self._file.tell()
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._partial.unlink(missing_ok=True)

    def write(self, block: NDArray[np.float32]) -> None:
        """Append (n, 2) samples."""
        self._file.write(np.ascontiguousarray(block, dtype="<f4").data)
        self.frames += len(block)

    def finish(self) -> None:
        # numpy pads the header so that the first axis can grow: its length does not change.
        self._file.seek(0)
        self._write_header()
        assert self._file.tell() == self._data_at, "the length of the header has not changed"
        self._file.close()
        self._partial.replace(self._path)

    def _write_header(self) -> None:
        header = {"descr": "<f4", "fortran_order": False, "shape": (self.frames, 2)}
        npy.write_array_header_1_0(self._file, header)
