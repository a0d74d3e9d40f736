"""Control channel of the engine process: reads messages from the parent, and exits when the parent
does."""

import os
import queue
import sys
import threading
from collections.abc import Collection
from typing import BinaryIO

from pydantic import ValidationError

from trackfarm_worker.engine.protocol import ControlMessage, Run, Setup, StopTracks, read_control

PROTOCOL_ERROR = 3


class ControlChannel:
    """Reader thread, so that a stop or the parent's exit is noticed during a step."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._setups: queue.SimpleQueue[Setup] = queue.SimpleQueue()
        self._runs: queue.SimpleQueue[Run] = queue.SimpleQueue()
        self._stopped: set[tuple[int, int]] = set()
        self._changed = threading.Condition()
        threading.Thread(target=self._read, name="control", daemon=True).start()

    def setup(self) -> Setup:
        """Wait for the first message."""
        return self._setups.get()

    def next_run(self) -> Run:
        """Wait for the next run."""
        return self._runs.get()

    def is_stopped(self, run_id: int, track_id: int) -> bool:
        return (run_id, track_id) in self._stopped

    def pause(self, seconds: float, run_id: int, track_ids: Collection[int]) -> None:
        """Wait `seconds`, or until one of the tracks is stopped."""
        with self._changed:
            self._changed.wait_for(
                lambda: any(self.is_stopped(run_id, track_id) for track_id in track_ids), seconds
            )

    def discard_stops(self, run_id: int) -> None:
        """Discard the stop requests of a finished run."""
        with self._changed:
            self._stopped = {stop for stop in self._stopped if stop[0] != run_id}

    def _read(self) -> None:
        for text in self._stream:
            try:
                message = read_control(text)
            except ValidationError as error:
                print(f"not a control message: {error}", file=sys.stderr, flush=True)
                os._exit(PROTOCOL_ERROR)
            self._dispatch(message)
        # The parent is gone. Exit without cleanup, because only that interrupts a step.
        os._exit(0)

    def _dispatch(self, message: ControlMessage) -> None:
        match message:
            case Setup():
                self._setups.put(message)
            case Run():
                self._runs.put(message)
            case StopTracks(run_id=run_id, track_ids=track_ids):
                with self._changed:
                    self._stopped |= {(run_id, track_id) for track_id in track_ids}
                    self._changed.notify_all()
