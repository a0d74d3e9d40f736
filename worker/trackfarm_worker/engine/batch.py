"""The book-keeping of one run: who is answered, who is being made, who is to stop."""

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
    """The tracks of one call of `EngineProcess.run`, which the engine makes in batches of its own.

    Answers every track exactly once. `on_event` hears of each answer and each
    progress.
    """

    def __init__(self, tracks: Sequence[EngineTrack], on_event: OnEvent) -> None:
        self._tracks = {track.track_id: track for track in tracks}
        assert len(self._tracks) == len(tracks), "a batch names each track once"
        self._results: dict[int, Result] = {}
        self._to_stop: set[int] = set()
        self._in_the_making: frozenset[int] = frozenset()
        self._suspects: list[frozenset[int]] = []
        self._on_event = on_event

    def remaining(self) -> list[EngineTrack]:
        return [track for key, track in self._tracks.items() if key not in self._results]

    def next_group(self) -> list[EngineTrack]:
        """What may be run together: everything that remains, or one half of the tracks in whose
        batch an engine was lost. Empty when nothing remains."""
        remaining = self.remaining()
        while self._suspects:
            group = [track for track in remaining if track.track_id in self._suspects[0]]
            if group:
                return group
            self._suspects.pop(0)
        return remaining

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
            self._in_the_making = frozenset(event.track_ids)
        elif event.track_id in self._tracks and event.track_id not in self._results:
            self._results[event.track_id] = event
            self._in_the_making -= {event.track_id}
        self._on_event(event)

    def fail_rest(self, kind: FailureKind, message: str) -> None:
        for track in self.remaining():
            self.note(Failed(track_id=track.track_id, kind=kind, message=message))

    def blame(self, kind: FailureKind, message: str) -> bool:
        """The engine was lost. Fails the track that was being made alone, or sets the tracks of its
        batch apart in halves; False when it was making none."""
        open_ids = [track.track_id for track in self.remaining()]
        making = [track_id for track_id in open_ids if track_id in self._in_the_making]
        self._in_the_making = frozenset()
        if len(making) == 1:
            self.note(Failed(track_id=making[0], kind=kind, message=message[:2000]))
        elif making:
            half = -(-len(making) // 2)
            apart = [frozenset(making[:half]), frozenset(making[half:])]
            self._suspects = [*apart, *(group - set(making) for group in self._suspects)]
        return bool(making)

    def acquit(self) -> None:
        """None of its tracks is being made, or none is to blame."""
        self._in_the_making = frozenset()
