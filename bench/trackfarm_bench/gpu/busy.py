"""How much of the time a worker's engine is at work, with real encoding and uploads behind it."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from trackfarm.broker import PIPELINE_DEPTH
from trackfarm.catalog import Brief
from trackfarm.wire import TrackDone, TrackFailed, TrackOrder
from trackfarm_bench.engine.briefs import alike
from trackfarm_bench.gpu.scenario import Scenario
from trackfarm_worker.encoders import EncoderPool
from trackfarm_worker.engine.messages import Event, Finished
from trackfarm_worker.engine.process import EngineProcess
from trackfarm_worker.engine.settings import EngineSettings
from trackfarm_worker.finisher import Finisher
from trackfarm_worker.labels import Origin

# Only its format and labels matter here: the engine has its own orders.
BRIEF = Brief(prompt="a bench", duration=60)


@dataclass(frozen=True, slots=True)
class Busy:
    """`share` of the seconds from the first shard's start to the last one's end for which the
    engine was occupied with tracks; `megabytes` went up."""

    tracks: int
    seconds: float
    share: float
    megabytes: float


def measure_busy(scenario: Scenario, checkpoint: Path, folder: Path) -> Busy:
    """Engine process, encoder pool and uploads as a worker has them, `PIPELINE_DEPTH` shards in
    flight. Raises RuntimeError when a track could not be made and stored."""
    settings = EngineSettings(
        model_set=scenario.models[0].model_set.name,
        spool=folder / "spool",
        source=checkpoint,
        device=scenario.device,
        dtype=str(scenario.dtype).removeprefix("torch."),
    )
    with (
        EngineProcess(settings) as engine,
        EncoderPool(scenario.encoders) as encoders,
        sink() as url,
        ThreadPoolExecutor(PIPELINE_DEPTH * scenario.encoders) as finishing,
    ):
        engine.start()
        worker = _Worker(engine, Finisher(encoders=encoders, spool=settings.spool), finishing, url)
        worker.shard(0, scenario)
        worker.clear()
        began = time.perf_counter()
        with ThreadPoolExecutor(PIPELINE_DEPTH) as shards:
            list(shards.map(lambda n: worker.shard(n, scenario), range(1, scenario.shards + 1)))
        worker.finisher.close()
        return worker.summary(began)


class _Worker:
    """The part of a worker between a claimed shard and its report."""

    def __init__(
        self, engine: EngineProcess, finisher: Finisher, finishing: ThreadPoolExecutor, url: str
    ) -> None:
        self.finisher = finisher
        self._engine = engine
        self._finishing = finishing
        self._url = url
        self.clear()

    def clear(self) -> None:
        """Forgets what was made so far."""
        self._made: list[Finished] = []
        self._stored: list[TrackDone] = []
        self._computed_at = 0.0

    def shard(self, number: int, scenario: Scenario) -> None:
        pending: list[Future[TrackDone | TrackFailed]] = []

        def note(event: Event) -> None:
            if isinstance(event, Finished):
                self._made.append(event)
                pending.append(self._finishing.submit(self._finish, event))

        tracks = alike(
            scenario.shard_tracks, duration=scenario.shard_duration, steps=scenario.steps
        )
        first = number * scenario.shard_tracks
        self._engine.run(
            [t.model_copy(update={"track_id": first + t.track_id}) for t in tracks], note
        )
        self._computed_at = max(self._computed_at, time.perf_counter())
        done = [future.result() for future in pending]
        self._stored += [one for one in done if isinstance(one, TrackDone)]
        if len(pending) < len(tracks) or any(isinstance(one, TrackFailed) for one in done):
            raise RuntimeError(f"not all tracks of a shard were made and stored: {done}")

    def summary(self, began: float) -> Busy:
        seconds = self._computed_at - began
        occupied = sum(one.timings.service for one in self._made)
        size = sum(one.size for one in self._stored)
        return Busy(len(self._made), seconds, occupied / seconds, size / 1e6)

    def _finish(self, audio: Finished) -> TrackDone | TrackFailed:
        order = TrackOrder(
            track_id=audio.track_id,
            key=f"bench-{audio.track_id}",
            seed=audio.seed,
            brief=BRIEF,
            object_key=f"bench/{audio.track_id}",
            upload_url=f"{self._url}/{audio.track_id}",
        )
        origin = Origin(job_id="bench", model_set="")
        return self.finisher.finish(order, audio, origin, lambda _: None, lambda: False)


@contextmanager
def sink() -> Iterator[str]:
    """A server on loopback that takes every upload and keeps none."""

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            left = int(self.headers["Content-Length"])
            while left:
                left -= len(self.rfile.read(min(left, 1 << 20)))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
