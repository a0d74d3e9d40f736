"""Writer of finished audio to the spool folder, in parallel with the device."""

import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trackfarm.atomic_file import atomic_path
from trackfarm_worker.engine.child.device import kind_of, told
from trackfarm_worker.engine.protocol import Finished, Result, TrackFailedReport

# Audio that may wait to be written: 22 tracks of a minute, or 2 of the longest.
MOST_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Sound:
    """Accepted audio and the report to send once it is written.

    `samples` (frames, channels).
    """

    finished: Finished
    samples: NDArray[np.int16]


class Spool:
    """Writer thread, in order; at most `most_bytes` of samples may wait, or a single larger
    track."""

    def __init__(self, *, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._thread = ThreadPoolExecutor(1, "spool")
        self._changed = threading.Condition()
        self._waiting = 0

    def put(self, sound: Sound, tell: Callable[[Result], None]) -> None:
        """Queue the audio; call `tell` with the result once it is written. Blocks while too much is
        queued."""
        size = sound.samples.nbytes
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting or self._waiting + size <= self._most)
            self._waiting += size
        self._thread.submit(self._put, sound, tell)

    def then(self, act: Callable[[], None]) -> None:
        """Run `act` after everything queued before is written and reported."""
        self._thread.submit(act)

    def flush(self) -> None:
        """Wait until everything queued is done."""
        wait([self._thread.submit(lambda: None)])

    def _put(self, sound: Sound, tell: Callable[[Result], None]) -> None:
        try:
            tell(written(sound))
        finally:
            with self._changed:
                self._waiting -= sound.samples.nbytes
                self._changed.notify_all()


def written(sound: Sound) -> Result:
    """Write the audio to its file; return the report, or a failure."""
    try:
        _write(sound.finished.path, sound.samples)
    except Exception as error:  # noqa: BLE001 - every track has an answer
        traceback.print_exception(error, file=sys.stderr)
        finished = sound.finished
        return TrackFailedReport(
            batch_id=finished.batch_id,
            track_id=finished.track_id,
            kind=kind_of(error),
            message=told(error),
            timings=finished.timings,
        )
    return sound.finished


def _write(path: Path, samples: NDArray[np.int16]) -> None:
    """Write to a temporary name first: a file under the final name is complete."""
    with atomic_path(path) as part, part.open("wb") as stream:
        np.save(stream, samples, allow_pickle=False)
