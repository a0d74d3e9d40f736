"""The part of a worker between a claimed shard and its report: engine, encoders, uploads."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from trackfarm.broker import PIPELINE_DEPTH
from trackfarm.catalog import Brief
from trackfarm.protocol.worker import TrackDone, TrackFailed, TrackOrder
from trackfarm_bench.pipeline.sink import sink
from trackfarm_worker.audio_tags import TrackProvenance
from trackfarm_worker.encoder_pool import EncoderPool
from trackfarm_worker.engine.parent.client import EngineClient
from trackfarm_worker.engine.parent.settings import EngineSettings
from trackfarm_worker.engine.protocol import EngineEvent, EngineTrack, FinishedTrack
from trackfarm_worker.finisher import Finisher


@dataclass(frozen=True, slots=True)
class Utilisation:
    """The result of a run of `seconds`, from the start of the first shard to the end of computing
    the last. `share`: fraction in which tracks occupied the engine, `device`: fraction in which its
    device worked. `megabytes` were uploaded; `encoding` and `uploading` are seconds of all
    tracks."""

    tracks: int
    seconds: float
    share: float
    device: float
    megabytes: float
    encoding: float
    uploading: float


class PipelineWorker:
    """An engine process, an encoder pool and uploads to a real server, as in a worker. `brief`
    determines the format; its other fields have no effect."""

    def __init__(
        self,
        engine: EngineClient,
        finisher: Finisher,
        finishing: ThreadPoolExecutor,
        url: str,
        brief: Brief,
    ) -> None:
        self._engine = engine
        self._finisher = finisher
        self._finishing = finishing
        self._url = url
        self._brief = brief
        self.clear()

    @property
    def engine_pid(self) -> int:
        assert self._engine.pid is not None, "the engine runs"
        return self._engine.pid

    def clear(self) -> None:
        """Reset the results."""
        self._finished: list[FinishedTrack] = []
        self._stored: list[TrackDone] = []
        self._computed_at = 0.0

    def run(self, shards: Sequence[Sequence[EngineTrack]]) -> Utilisation:
        """Make the shards with `PIPELINE_DEPTH` of them in flight.

        Raises RuntimeError if a track could not be made and stored.
        """
        self.clear()
        began = time.perf_counter()
        with ThreadPoolExecutor(PIPELINE_DEPTH) as tasks:
            list(tasks.map(self._shard, shards))
        return self._summary(self._computed_at - began)

    def _shard(self, tracks: Sequence[EngineTrack]) -> None:
        pending: list[Future[TrackDone | TrackFailed]] = []

        def note(event: EngineEvent) -> None:
            if isinstance(event, FinishedTrack):
                self._finished.append(event)
                pending.append(self._finishing.submit(self._finish, event))

        self._engine.run(tracks, note)
        self._computed_at = max(self._computed_at, time.perf_counter())
        results = [future.result() for future in pending]
        self._stored += [track for track in results if isinstance(track, TrackDone)]
        if len(pending) < len(tracks) or any(isinstance(track, TrackFailed) for track in results):
            raise RuntimeError(f"not all tracks of a shard were made and stored: {results}")

    def _summary(self, seconds: float) -> Utilisation:
        stages = [track.timings for track in self._finished]
        return Utilisation(
            tracks=len(self._finished),
            seconds=seconds,
            share=sum(s.service for s in stages) / seconds,
            device=sum(s.condition + s.denoise + s.decode for s in stages) / seconds,
            megabytes=sum(track.size for track in self._stored) / 1e6,
            encoding=sum(track.timings.encode for track in self._stored),
            uploading=sum(track.timings.upload for track in self._stored),
        )

    def _finish(self, audio: FinishedTrack) -> TrackDone | TrackFailed:
        order = TrackOrder(
            track_id=audio.track_id,
            key=f"bench-{audio.track_id}",
            seed=audio.seed,
            brief=self._brief,
            object_key=f"bench/{audio.track_id}",
            upload_url=f"{self._url}/{audio.track_id}",
        )
        origin = TrackProvenance(job_id="bench", model_set="")
        return self._finisher.finish(order, audio, origin, lambda _: None, lambda: False)


@contextmanager
def pipeline_worker(
    settings: EngineSettings, *, encoders: int, brief: Brief
) -> Iterator[PipelineWorker]:
    """Yield a worker that is ready to run; stop all its parts on exit."""
    with (
        EngineClient(settings) as engine,
        EncoderPool(encoders) as pool,
        sink() as url,
        ThreadPoolExecutor(PIPELINE_DEPTH * encoders) as finishing,
    ):
        engine.start()
        finisher = Finisher(encoders=pool, spool=settings.spool)
        try:
            yield PipelineWorker(engine, finisher, finishing, url, brief)
        finally:
            finisher.close()
