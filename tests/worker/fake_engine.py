"""Engine that computes nothing: it gives scripted answers, in the caller's thread."""

from collections.abc import Callable, Collection, Sequence

from trackfarm_worker.engine.protocol import EngineEvent, EngineTrack, StoppedTrack, TrackResult

Work = Callable[[EngineTrack, Callable[[EngineEvent], None]], TrackResult]


class FakeEngine:
    """Scripted engine. `work` makes one track; `requests` has the track ids of each run; tracks named in `stop_current` are answered as
    stopped."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.restarts = 0
        self.is_closed = False
        self.requests: list[list[int]] = []
        self.stopped: list[frozenset[int] | None] = []

    def run(
        self, tracks: Sequence[EngineTrack], on_event: Callable[[EngineEvent], None]
    ) -> list[TrackResult]:
        self.requests.append([track.track_id for track in tracks])
        results: list[TrackResult] = []
        for track in tracks:
            if self._is_stopped(track.track_id):
                result: TrackResult = StoppedTrack(track_id=track.track_id)
            else:
                result = self.work(track, on_event)
            on_event(result)
            results.append(result)
        return results

    def stop_current(self, track_ids: Collection[int] | None = None) -> None:
        self.stopped.append(None if track_ids is None else frozenset(track_ids))

    def close(self) -> None:
        self.is_closed = True

    def _is_stopped(self, track_id: int) -> bool:
        return any(ids is None or track_id in ids for ids in self.stopped)
