"""Workers without an engine, controlled by the test.

They have all the credentials of a real worker and report anything the test wants.
"""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.security.guarded_farm import GuardedFarm
from trackfarm.protocol.worker import ClaimAnswer, TrackOrder

BEAT_SECONDS = 1.0
HIGH_PRICE_PER_HOUR = 1_000.0  # US dollars
RATE, BYTES_A_SECOND = 48_000, 2_000


def music(order: TrackOrder) -> bytes:
    """Return content of the size that the brief needs, different for every track."""
    size = int(order.brief.duration * BYTES_A_SECOND)
    return order.object_key.encode().ljust(size, b"\x55")


def result(order: TrackOrder, content: bytes | None = None, **changes: Any) -> dict[str, Any]:
    """Return the honest report of a track with changes; `measured` changes the measurements."""
    content = music(order) if content is None else content
    measured = {"seconds": order.brief.duration, "sample_rate": RATE, "channels": 2}
    measured |= {"peak_dbfs": -1.0, "rms_dbfs": -18.0, "clipped": 0.0, "dc": 0.0}
    measured |= changes.pop("measured", {})
    return {
        "track_id": order.track_id,
        "object_key": order.object_key,
        "size": len(content),
        "md5": hashlib.md5(content, usedforsecurity=False).hexdigest(),
        "sha256": hashlib.sha256(content).hexdigest(),
        "seed": order.seed,
        "measurements": measured,
        "timings": {"service": 0.001},
        **changes,
    }


def verdict_of(answer: httpx.Response) -> tuple[str, str]:
    """Return the verdict and the reason of a report of one track."""
    assert answer.status_code == 200, answer.text
    (only,) = answer.json()["tracks"]
    return only["verdict"], only["reason"]


class StubWorker:
    """A worker that has registered with an invitation."""

    def __init__(self, farm: GuardedFarm, store: httpx.Client, name: str, **invited: Any) -> None:
        self.farm, self.store = farm, store
        self.registration = farm.joined(farm.invite(**invited), name=name)
        self.id, self.token = self.registration.worker_id, self.registration.token
        self._broker = farm.worker_connection(self.registration)
        self.shards: list[ClaimAnswer] = []

    def say(self, path: str, **body: Any) -> httpx.Response:
        return self.farm.say(path, self.token, body)

    def send_heartbeat(self) -> httpx.Response:
        shards = [
            {"shard_id": s.shard_id, "lease_id": s.lease_id, "stage": "computing"}
            for s in self.shards
        ]
        return self.say("heartbeat", shards=shards)

    def next_offer(self, timeout: float = 10) -> tuple[str, str] | None:
        """Return shard and lease of the next message of its own queue; None if there is none."""
        message = self._broker.brpop([self.registration.queue], timeout=timeout)
        if message is None:
            return None
        envelope = json.loads(message[1])
        arguments = json.loads(base64.b64decode(envelope["body"]))[0]
        return arguments[0], arguments[1]

    def claim(self, shard_id: str, lease_id: str) -> httpx.Response:
        return self.say(f"shards/{shard_id}/claim", lease_id=lease_id)

    def claim_next(self) -> ClaimAnswer:
        """Claim the next offered shard."""
        offer = self.next_offer()
        assert offer is not None, "no shard was offered"
        assert self.try_claim(*offer)
        return self.shards[-1]

    def claim_again(self, shard: ClaimAnswer) -> ClaimAnswer:
        """Claim the shard again; returns its open tracks with new upload URLs."""
        assert self.try_claim(shard.shard_id, shard.lease_id)
        self.shards.remove(shard)
        return self.shards[-1]

    def try_claim(self, shard_id: str, lease_id: str) -> bool:
        """Claim a shard and keep it; True if the claim was granted."""
        answer = self.claim(shard_id, lease_id)
        if answer.status_code == 200:
            self.shards.append(ClaimAnswer.model_validate_json(answer.content))
        return answer.status_code == 200

    def put(self, order: TrackOrder, content: bytes | None = None) -> httpx.Response:
        body = music(order) if content is None else content
        return self.store.put(order.upload_url, headers=order.upload_headers, content=body)

    def report(self, shard: ClaimAnswer, *done: dict[str, Any], **more: Any) -> httpx.Response:
        body = {"lease_id": shard.lease_id, "done": list(done), **more}
        return self.say(f"shards/{shard.shard_id}/report", **body)

    def make(self, shard: ClaimAnswer) -> list[str]:
        """Make all tracks of a shard as an honest worker does; returns the verdicts."""
        for order in shard.tracks:
            assert self.put(order).status_code in (200, 412), "412: it exists already"
        answer = self.report(shard, *map(result, shard.tracks))
        self.shards.remove(shard)
        return [each["verdict"] for each in answer.json()["tracks"]]

    def leave(self) -> httpx.Response:
        return self.say("leave")

    def close(self) -> None:
        self._broker.close()


class StubWorkers:
    """The workers of a farm, with one heartbeat thread for the live ones."""

    def __init__(self, farm: GuardedFarm, store: httpx.Client) -> None:
        self._farm, self._store = farm, store
        self._all: list[StubWorker] = []
        self._alive: set[StubWorker] = set()
        self._ended = threading.Event()
        self._heartbeat_thread = threading.Thread(target=self._send_heartbeats)

    def join(self, name: str, **invited: Any) -> StubWorker:
        worker = StubWorker(self._farm, self._store, name, **invited)
        self._all.append(worker)
        worker.send_heartbeat()
        self._alive.add(worker)
        return worker

    def stop_heartbeats(self, worker: StubWorker) -> None:
        """Stop the heartbeats of a worker."""
        self._alive.discard(worker)

    def others(self, worker: StubWorker) -> list[StubWorker]:
        """Return all other workers and stop their heartbeats."""
        self._alive &= {worker}
        return [each for each in self._all if each is not worker]

    def deregister(self, worker: StubWorker) -> None:
        """Deregister a worker; its tracks are placed again."""
        self.stop_heartbeats(worker)
        worker.leave()

    def _send_heartbeats(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            for worker in list(self._alive):
                worker.send_heartbeat()

    @contextmanager
    def running(self) -> Iterator["StubWorkers"]:
        self._heartbeat_thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            self._heartbeat_thread.join()
            for worker in self._all:
                worker.close()
