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
from trackfarm_worker.engine.parent.client import EngineClient
from trackfarm_worker.scheduler_client import (
    RequestRejected,
    SchedulerClient,
    SchedulerUnavailable,
    Unauthorized,
)
from trackfarm_worker.shards_in_flight import ShardRegistry

log = structlog.get_logger(__name__)


class HeartbeatThread:
    """Heartbeat thread. `beat` may also be called from other threads, for changes that the
    scheduler must know at once."""

    def __init__(
        self,
        *,
        client: SchedulerClient,
        registry: ShardRegistry,
        engine: EngineClient,
        intervals: Intervals,
        on_drain: Callable[[str], None],
        on_unauthorized: Callable[[str], None],
        read_gpu: Callable[[], GpuUsage | None] = lambda: None,
        on_response: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client
        self._registry = registry
        self._engine = engine
        self._interval = intervals.heartbeat
        self._on_drain = on_drain
        self._on_unauthorized = on_unauthorized
        self._read_gpu = read_gpu
        self._on_response = on_response
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float) -> None:
        self._stopping.set()
        self._thread.join(timeout)

    def beat(self) -> None:
        usage = self._read_gpu()
        request = HeartbeatRequest(
            shards=self._registry.progress(),
            draining=self._registry.is_draining,
            engine_restarts=self._engine.restarts,
            gpu_memory_mib=None if usage is None else usage.memory_mib,
            gpu_utilisation=None if usage is None else usage.utilisation,
        )
        self._apply(self._client.heartbeat(request))

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.beat()
            except (SchedulerUnavailable, RequestRejected) as error:
                log.warning("heartbeat_failed", error=str(error))
            except Unauthorized as error:
                self._on_unauthorized(str(error))
                return
            self._stopping.wait(self._interval)

    def _apply(self, answer: HeartbeatAnswer) -> None:
        self._on_response()
        self._interval = answer.intervals.heartbeat
        for command in answer.commands:
            match command.kind:
                case CommandKind.STOP_SHARD:
                    self._stop_shard(command, lease_lost=command.lease_id not in answer.leases)
                case CommandKind.DRAIN:
                    self._on_drain(command.reason)

    def _stop_shard(self, command: Command, *, lease_lost: bool) -> None:
        track_ids = self._registry.stop(
            command.lease_id, ReleaseReason.STOPPED, lease_lost=lease_lost
        )
        if track_ids:
            log.info("shard_stopped", shard=command.shard_id, reason=command.reason)
            self._engine.stop_current(track_ids)
