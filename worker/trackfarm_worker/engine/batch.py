"""The book-keeping of one batch: who is answered, who is being made, who is to stop."""

from collections.abc import Callable, Collection, Sequence

from trackfarm.wire import FailureKind
from trackfarm_worker.engine.messages import (
    EngineTrack,
    Event,
    Failed,
    Progress,
    Result,
    Stopped,
)

OnEvent = Callable[[Event], None]


class Batch:
    """Answers every track exactly once. `on_event` hears of each answer and each progress."""

    def __init__(self, tracks: Sequence[EngineTrack], on_event: OnEvent) -> None:
        self._tracks = {track.track_id: track for track in tracks}
        assert len(self._tracks) == len(tracks), "a batch names each track once"
        self._results: dict[int, Result] = {}
        self._to_stop: set[int] = set()
        self._working_on: int | None = None
        self._on_event = on_event

    def remaining(self) -> list[EngineTrack]:
        return [track for key, track in self._tracks.items() if key not in self._results]

    def results(self) -> list[Result]:
        """In the order of the tracks. Only for a batch with nothing remaining."""
        return [self._results[key] for key in self._tracks]

    def to_stop(self) -> list[int]:
        return [track.track_id for track in self.remaining() if track.track_id in self._to_stop]

    def is_all_to_stop(self) -> bool:
        return len(self.to_stop()) == len(self.remaining())

    def stop(self, track_ids: Collection[int] | None) -> list[int]:
        """Marks those that are not answered yet (None: all) and names them."""
        open_ids = [track.track_id for track in self.remaining()]
        chosen = [key for key in open_ids if track_ids is None or key in track_ids]
        self._to_stop |= set(chosen)
        return chosen

    def answer_stopped(self) -> None:
        """Answers what is to stop and is not being made by anyone."""
        for track_id in self.to_stop():
            self.note(Stopped(track_id=track_id))

    def note(self, event: Event) -> None:
        """Takes what the engine reported."""
        if isinstance(event, Progress):
            self._working_on = event.track_id
        elif event.track_id in self._tracks and event.track_id not in self._results:
            self._results[event.track_id] = event
            self._working_on = None
        self._on_event(event)

    def fail_rest(self, kind: FailureKind, message: str) -> None:
        for track in self.remaining():
            self.note(Failed(track_id=track.track_id, kind=kind, message=message))

    def blame(self, kind: FailureKind, message: str) -> bool:
        """Fails the track in whose making the engine was lost; False when there was none."""
        culprit, self._working_on = self._working_on, None
        if culprit is None:
            return False
        self.note(Failed(track_id=culprit, kind=kind, message=message[:2000]))
        return True
