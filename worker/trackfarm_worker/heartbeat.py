"""Heartbeats: report progress to the scheduler and carry out the commands in its response."""

import threading
from collections.abc import Callable

import structlog

from trackfarm.nvml import GpuUsage
from trackfarm.protocol.worker import (
    Command,
    CommandKind,
    HeartbeatAnswer,
    HeartbeatRequest,
    Intervals,
    ReleaseReason,
)
from trackfarm_worker.engine.parent.client import EngineProcess
from trackfarm_worker.scheduler_client import NotWelcome, Rejected, SchedulerAway, SchedulerClient
from trackfarm_worker.shards_in_flight import ShardRegistry

log = structlog.get_logger(__name__)


class HeartbeatThread:
    """Heartbeat thread. `beat` may also be called from other threads, for changes that the
    scheduler must know at once."""

    def __init__(
        self,
        *,
        client: SchedulerClient,
        board: ShardRegistry,
        engine: EngineProcess,
        intervals: Intervals,
        on_drain: Callable[[str], None],
        on_unwelcome: Callable[[str], None],
        sense: Callable[[], GpuUsage | None] = lambda: None,
        on_answer: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client
        self._board = board
        self._engine = engine
        self._interval = intervals.heartbeat
        self._on_drain = on_drain
        self._on_unwelcome = on_unwelcome
        self._sense = sense
        self._on_answer = on_answer
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heart", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float) -> None:
        self._stopping.set()
        self._thread.join(timeout)

    def beat(self) -> None:
        gpu = self._sense()
        request = HeartbeatRequest(
            shards=self._board.progress(),
            draining=self._board.draining,
            engine_restarts=self._engine.restarts,
            gpu_memory_mib=None if gpu is None else gpu.memory_mib,
            gpu_utilisation=None if gpu is None else gpu.utilisation,
        )
        self._apply(self._client.heartbeat(request))

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.beat()
            except (SchedulerAway, Rejected) as error:
                log.warning("heartbeat_failed", error=str(error))
            except NotWelcome as error:
                self._on_unwelcome(str(error))
                return
            self._stopping.wait(self._interval)

    def _apply(self, answer: HeartbeatAnswer) -> None:
        self._on_answer()
        self._interval = answer.intervals.heartbeat
        for command in answer.commands:
            match command.kind:
                case CommandKind.STOP_SHARD:
                    self._stop(command, is_dead=command.lease_id not in answer.leases)
                case CommandKind.DRAIN:
                    self._on_drain(command.reason)

    def _stop(self, command: Command, *, is_dead: bool) -> None:
        track_ids = self._board.stop(command.lease_id, ReleaseReason.STOPPED, is_dead=is_dead)
        if track_ids:
            log.info("shard_stopped", shard=command.shard_id, reason=command.reason)
            self._engine.stop_current(track_ids)
