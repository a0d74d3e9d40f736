"""Fake worker that reports the state of a GPU and takes no shards."""

import math
import threading
import time
from typing import Self

from trackfarm.protocol.worker import HeartbeatRequest, Intervals, RegisterRequest
from trackfarm_worker.scheduler_client import SchedulerClient

CARD = RegisterRequest(
    name="card",
    gpu="NVIDIA GeForce RTX 4090",
    memory_mib=24_564,
    model_set="acestep-v15-turbo",
    provider="runpod",
    price_per_hour=0.34,
)


class ReportingGpuWorker:
    """Fake worker for tests without a GPU: registers and sends heartbeats like a worker with
    one."""

    def __init__(self, url: str, join_token: str) -> None:
        join_client = SchedulerClient(url, token=join_token)
        registration = join_client.register(CARD)
        join_client.close()
        self._client = SchedulerClient(url, token=registration.token)
        self._intervals: Intervals = registration.intervals
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._speak, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(10)
        self._client.close()

    def _speak(self) -> None:
        while not self._over.is_set():
            share = 0.5 + 0.5 * math.sin(time.monotonic() / 10)
            used = int(8_000 + 4_000 * share)
            self._client.heartbeat(HeartbeatRequest(gpu_memory_mib=used, gpu_utilisation=share))
            self._over.wait(self._intervals.heartbeat)
