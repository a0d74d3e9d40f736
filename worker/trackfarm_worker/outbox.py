"""Outbox: results kept on disk until the scheduler acknowledges them, and the thread that delivers
them, with retries while the scheduler is unreachable."""

import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog
from pydantic import TypeAdapter

from trackfarm.protocol.worker import ReportRequest, ReportVerdict, TrackDone, TrackFailed
from trackfarm_worker.scheduler_client import (
    RequestRejected,
    SchedulerClient,
    SchedulerUnavailable,
    Unauthorized,
)

log = structlog.get_logger(__name__)
MIN_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.2, 5.0

_ITEMS: TypeAdapter[TrackDone | TrackFailed] = TypeAdapter(TrackDone | TrackFailed)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS item (
    id INTEGER PRIMARY KEY, shard_id TEXT NOT NULL, lease_id TEXT NOT NULL, body TEXT NOT NULL
)
"""


@dataclass(frozen=True, slots=True)
class LeaseResults:
    """Results of one lease, to report in one call."""

    shard_id: str
    lease_id: str
    row_ids: tuple[int, ...]
    items: tuple[TrackDone | TrackFailed, ...]


class Outbox:
    """Results in a SQLite file; thread-safe."""

    def __init__(self, path: Path, *, max_results: int = 200) -> None:
        self._lock = threading.Condition()
        self._max_results = max_results
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute(_SCHEMA)

    def put(self, shard_id: str, lease_id: str, item: TrackDone | TrackFailed) -> None:
        with self._lock:
            self._db.execute(
                "INSERT INTO item (shard_id, lease_id, body) VALUES (?, ?, ?)",
                (shard_id, lease_id, item.model_dump_json()),
            )
            self._lock.notify_all()

    def next_results(self) -> LeaseResults | None:
        """Return undelivered results of the oldest lease, at most `max_results`; None if there are
        none."""
        with self._lock:
            first = self._db.execute(
                "SELECT shard_id, lease_id FROM item ORDER BY id LIMIT 1"
            ).fetchone()
            if first is None:
                return None
            rows = self._db.execute(
                "SELECT id, body FROM item WHERE lease_id = ? ORDER BY id LIMIT ?",
                (first[1], self._max_results),
            ).fetchall()
        items = tuple(_ITEMS.validate_json(body) for _, body in rows)
        return LeaseResults(first[0], first[1], tuple(row_id for row_id, _ in rows), items)

    def remove(self, results: LeaseResults) -> None:
        """Delete results that the scheduler has acknowledged, or never will."""
        with self._lock:
            self._db.executemany("DELETE FROM item WHERE id = ?", [(i,) for i in results.row_ids])
            self._lock.notify_all()

    def wait_for_items(self, timeout: float) -> None:
        with self._lock:
            self._lock.wait_for(self._has_items, timeout)

    def wait_until_delivered(self, lease_id: str, timeout: float) -> bool:
        """Return True once no result of this lease is left, False after `timeout` seconds."""
        with self._lock:
            return self._lock.wait_for(lambda: not self._count(lease_id), timeout)

    def clear(self) -> None:
        with self._lock:
            self._db.execute("DELETE FROM item")
            self._lock.notify_all()

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def _has_items(self) -> bool:
        return self._db.execute("SELECT 1 FROM item LIMIT 1").fetchone() is not None

    def _count(self, lease_id: str) -> int:
        row = self._db.execute("SELECT count(*) FROM item WHERE lease_id = ?", (lease_id,))
        return int(row.fetchone()[0])


class Reporter:
    """Delivery thread. `on_unauthorized` is called when our token is refused: then nothing can be
    delivered."""

    def __init__(
        self, *, outbox: Outbox, client: SchedulerClient, on_unauthorized: Callable[[str], None]
    ) -> None:
        self._outbox = outbox
        self._client = client
        self._on_unauthorized = on_unauthorized
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float) -> None:
        self._stopping.set()
        self._thread.join(timeout)

    def deliver(self) -> bool:
        """Send the next results; False if there were none. Raises the errors of the client."""
        results = self._outbox.next_results()
        if results is None:
            return False
        try:
            self._send(results)
        except RequestRejected as error:
            log.error("report_rejected", shard=results.shard_id, error=str(error))
        self._outbox.remove(results)
        return True

    def _send(self, results: LeaseResults) -> None:
        answer = self._client.report(
            results.shard_id,
            ReportRequest(
                lease_id=results.lease_id,
                done=[item for item in results.items if isinstance(item, TrackDone)],
                failed=[item for item in results.items if isinstance(item, TrackFailed)],
            ),
        )
        for track in answer.tracks:
            if track.verdict is ReportVerdict.REFUSED:
                log.warning("result_refused", track=track.track_id, reason=track.reason)

    def _run(self) -> None:
        pause = MIN_PAUSE_SECONDS
        while not self._stopping.is_set():
            self._outbox.wait_for_items(timeout=0.5)
            try:
                while self.deliver():
                    pause = MIN_PAUSE_SECONDS
            except SchedulerUnavailable as error:
                log.warning("scheduler_unreachable", error=str(error), retry_in=pause)
                self._stopping.wait(pause)
                pause = min(pause * 2, MAX_PAUSE_SECONDS)
            except Unauthorized as error:
                self._outbox.clear()
                self._on_unauthorized(str(error))
                return
