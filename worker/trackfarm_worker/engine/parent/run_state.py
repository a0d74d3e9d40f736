"""State of one run: which tracks are answered, which are being made, which must stop."""

from collections.abc import Callable, Collection, Sequence

from trackfarm.protocol.worker import FailureKind
from trackfarm_worker.engine.protocol import (
    EngineEvent,
    EngineProgress,
    EngineTrack,
    FailedTrack,
    StoppedTrack,
    TrackResult,
)

OnEvent = Callable[[EngineEvent], None]


class RunState:
    """Tracks of one call of `EngineClient.run`, which the engine makes in one or more batches.

    Answers every track exactly once. `on_event` is called with each answer and each progress.
    """

    def __init__(self, tracks: Sequence[EngineTrack], on_event: OnEvent) -> None:
        self._tracks = {track.track_id: track for track in tracks}
        assert len(self._tracks) == len(tracks), "a run names each track once"
        self._results: dict[int, TrackResult] = {}
        self._to_stop: set[int] = set()
        self._in_progress: frozenset[int] = frozenset()
        self._suspect_groups: list[frozenset[int]] = []
        self._on_event = on_event

    def remaining(self) -> list[EngineTrack]:
        return [track for key, track in self._tracks.items() if key not in self._results]

    def next_group(self) -> list[EngineTrack]:
        """Return the tracks to run together: all that remain, or one half of the batch with which
        an engine was lost. Empty when none remain."""
        remaining = self.remaining()
        while self._suspect_groups:
            group = [track for track in remaining if track.track_id in self._suspect_groups[0]]
            if group:
                return group
            self._suspect_groups.pop(0)
        return remaining

    def results(self) -> list[TrackResult]:
        """Return the results in the order of the tracks. Only for a run with none remaining."""
        return [self._results[key] for key in self._tracks]

    def to_stop(self) -> list[int]:
        return [track.track_id for track in self.remaining() if track.track_id in self._to_stop]

    def is_all_to_stop(self) -> bool:
        return len(self.to_stop()) == len(self.remaining())

    def stop(self, track_ids: Collection[int] | None) -> list[int]:
        """Mark the unanswered ones of the given tracks (None: all) to stop, and return their
        ids."""
        open_ids = [track.track_id for track in self.remaining()]
        stop_ids = [key for key in open_ids if track_ids is None or key in track_ids]
        self._to_stop |= set(stop_ids)
        return stop_ids

    def answer_stopped(self) -> None:
        """Answer the tracks to stop, while the engine is making none of them."""
        for track_id in self.to_stop():
            self.record(StoppedTrack(track_id=track_id))

    def record(self, event: EngineEvent) -> None:
        """Record a report of the engine."""
        if isinstance(event, EngineProgress):
            self._in_progress = frozenset(event.track_ids)
        elif event.track_id in self._tracks and event.track_id not in self._results:
            self._results[event.track_id] = event
            self._in_progress -= {event.track_id}
        self._on_event(event)

    def fail_remaining(self, kind: FailureKind, message: str) -> None:
        for track in self.remaining():
            self.record(FailedTrack(track_id=track.track_id, kind=kind, message=message))

    def bisect_after_crash(self, kind: FailureKind, message: str) -> bool:
        """Handle the loss of the engine. Fail the track that was being made alone, or split the
        tracks of its batch into two groups; return False if it was making none."""
        open_ids = [track.track_id for track in self.remaining()]
        in_progress = [track_id for track_id in open_ids if track_id in self._in_progress]
        self._in_progress = frozenset()
        if len(in_progress) == 1:
            self.record(FailedTrack(track_id=in_progress[0], kind=kind, message=message[:2000]))
        elif in_progress:
            half = -(-len(in_progress) // 2)
            groups = [frozenset(in_progress[:half]), frozenset(in_progress[half:])]
            others = [group - set(in_progress) for group in self._suspect_groups]
            self._suspect_groups = [*groups, *others]
        return bool(in_progress)

    def clear_in_progress(self) -> None:
        """Forget the tracks in progress: none is being made, or none is to blame."""
        self._in_progress = frozenset()
