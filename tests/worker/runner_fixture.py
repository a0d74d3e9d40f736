"""Shard runner with real parts except for the engine, and a scheduler that accepts everything."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

from tests.servers.scripted_http import ReceivedRequest, Reply, ScriptedServer
from tests.worker.fake_engine import FakeEngine
from tests.worker.shards import LEASE, SHARD, audio, claim, verdicts
from tests.worker.sources.hosts import LOOPBACK
from trackfarm.protocol.worker import (
    ClaimAnswer,
    FailureKind,
    ReleaseReason,
    ReleaseRequest,
    ReportRequest,
    TrackDone,
    TrackFailed,
)
from trackfarm_worker.encoder_pool import EncoderPool
from trackfarm_worker.engine.parent.client import EngineClient
from trackfarm_worker.engine.protocol import (
    EngineEvent,
    EngineProgress,
    EngineTrack,
    FailedTrack,
    TrackResult,
)
from trackfarm_worker.finisher import Finisher
from trackfarm_worker.outbox import Outbox, Reporter
from trackfarm_worker.scheduler_client import SchedulerClient
from trackfarm_worker.shard_runner import ShardRunner
from trackfarm_worker.shards_in_flight import ShardRegistry
from trackfarm_worker.sources.cache import SourceCache


class RunnerFixture:
    """Shard runner with real parts except for the engine, and a scheduler that accepts everything."""

    def __init__(self, folder: Path, farm: ScriptedServer, encoders: EncoderPool) -> None:
        self.farm = farm
        self.folder = folder
        self.tracks: tuple[int, ...] = (1, 2, 3)
        self.refusals: dict[str, Reply] = {}
        self.claimed: Callable[[ClaimAnswer], ClaimAnswer] = lambda claim: claim
        self.engine_tracks: list[EngineTrack] = []
        self.before: Callable[[int], None] = lambda _: None
        self.failing: set[int] = set()
        self.fatal: list[str] = []
        self.registry = ShardRegistry()
        self.engine = FakeEngine(self.make)
        self.client = SchedulerClient(farm.url, token="secret")
        self.outbox = Outbox(folder / "outbox.db")
        self.finisher = Finisher(encoders=encoders, spool=folder)
        self.finishing = ThreadPoolExecutor(2)
        self.reporter = Reporter(
            outbox=self.outbox, client=self.client, on_unauthorized=self.fatal.append
        )
        self.runner = ShardRunner(
            client=self.client,
            registry=self.registry,
            engine=cast(EngineClient, self.engine),
            finisher=self.finisher,
            sources=SourceCache(folder, policy=LOOPBACK),
            outbox=self.outbox,
            finishing=self.finishing,
            on_engine_lost=self.fatal.append,
            on_unauthorized=self.fatal.append,
        )
        farm.reply = self.reply
        self.reporter.start()

    def close(self) -> None:
        self.reporter.stop(timeout=10)
        self.finishing.shutdown()
        self.finisher.close()
        self.client.close()
        self.outbox.close()

    def reply(self, request: ReceivedRequest) -> Reply:
        call = request.path.rsplit("/", 1)[-1]
        if call in self.refusals:
            return self.refusals[call]
        if call == "claim":
            claimed = self.claimed(claim(*self.tracks, url=f"{self.farm.url}/"))
            return Reply(body=claimed.model_dump_json().encode())
        return Reply(body=verdicts()) if call == "report" else Reply(body={})

    def make(self, track: EngineTrack, on_event: Callable[[EngineEvent], None]) -> TrackResult:
        self.engine_tracks.append(track)
        self.before(track.track_id)
        if track.track_id in self.failing:
            return FailedTrack(track_id=track.track_id, kind=FailureKind.SILENT, message="nothing")
        on_event(EngineProgress(track_ids=[track.track_id], stage="denoise", step=1, steps=8))
        return audio(self.folder, track.track_id)

    def run(self) -> None:
        self.runner.run(SHARD, LEASE)

    def calls(self, name: str) -> list[ReceivedRequest]:
        return [request for request in self.farm.requests if request.path.endswith(f"/{name}")]

    def reported(self) -> tuple[set[int], set[int]]:
        done, failed = self.results()
        return set(done), set(failed)

    def results(self) -> tuple[dict[int, TrackDone], dict[int, TrackFailed]]:
        reports = [ReportRequest.model_validate_json(a.body) for a in self.calls("report")]
        done = {t.track_id: t for r in reports for t in r.done}
        return done, {t.track_id: t for r in reports for t in r.failed}

    def released(self) -> list[tuple[list[int], ReleaseReason]]:
        requests = [ReleaseRequest.model_validate_json(a.body) for a in self.calls("release")]
        return [(r.track_ids, r.reason) for r in requests]

    def uploads(self) -> int:
        return sum(request.method == "PUT" for request in self.farm.requests)

    def spooled(self) -> list[Path]:
        return [path for path in self.folder.iterdir() if not path.name.startswith("outbox")]
