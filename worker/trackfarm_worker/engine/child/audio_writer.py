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
from trackfarm_worker.engine.child.failure import failure_of
from trackfarm_worker.engine.protocol import FailedTrack, FinishedTrack, TrackResult

# Audio that may wait to be written: 22 tracks of a minute, or 2 of the longest.
MAX_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class AcceptedAudio:
    """Accepted audio and the report to send once it is written.

    `samples` (frames, channels).
    """

    finished: FinishedTrack
    samples: NDArray[np.int16]


class AudioWriter:
    """Thread that writes in order; at most `max_bytes` of samples may wait, or a single larger
    track."""

    def __init__(self, *, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._thread = ThreadPoolExecutor(1, "audio-writer")
        self._changed = threading.Condition()
        self._waiting_bytes = 0

    def put(self, audio: AcceptedAudio, on_result: Callable[[TrackResult], None]) -> None:
        """Queue the audio; call `on_result` with the result once it is written. Blocks while too
        much is queued."""
        size = audio.samples.nbytes
        with self._changed:
            self._changed.wait_for(
                lambda: not self._waiting_bytes or self._waiting_bytes + size <= self._max_bytes
            )
            self._waiting_bytes += size
        self._thread.submit(self._put, audio, on_result)

    def call_when_written(self, action: Callable[[], None]) -> None:
        """Run `action` after everything queued before is written and reported."""
        self._thread.submit(action)

    def flush(self) -> None:
        """Wait until everything queued is done."""
        wait([self._thread.submit(lambda: None)])

    def _put(self, audio: AcceptedAudio, on_result: Callable[[TrackResult], None]) -> None:
        try:
            on_result(write_audio(audio))
        finally:
            with self._changed:
                self._waiting_bytes -= audio.samples.nbytes
                self._changed.notify_all()


def write_audio(audio: AcceptedAudio) -> TrackResult:
    """Write the audio to its file; return the report, or a failure."""
    try:
        _write(audio.finished.path, audio.samples)
    except Exception as error:  # noqa: BLE001 - every track has an answer
        traceback.print_exception(error, file=sys.stderr)
        finished, failure = audio.finished, failure_of(error)
        return FailedTrack(
            run_id=finished.run_id,
            track_id=finished.track_id,
            kind=failure.kind,
            message=failure.message,
            timings=finished.timings,
        )
    return audio.finished


def _write(path: Path, samples: NDArray[np.int16]) -> None:
    """Write to a temporary name first: a file under the final name is complete."""
    with atomic_path(path) as part, part.open("wb") as stream:
        np.save(stream, samples, allow_pickle=False)
