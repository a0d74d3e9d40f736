"""Delivery of the outbox: one thread that reports, and retries while the scheduler is
unreachable."""

import threading
from collections.abc import Callable

import structlog

from trackfarm.wire import ReportRequest, TrackDone, TrackFailed, Verdict
from trackfarm_worker.client import NotWelcome, Rejected, SchedulerAway, SchedulerClient
from trackfarm_worker.outbox import Outbox, Parcel

log = structlog.get_logger(__name__)
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0


class Reporter:
    """Delivery thread. `on_unwelcome` is called when our token is refused: then nothing can be
    delivered."""

    def __init__(
        self, *, outbox: Outbox, client: SchedulerClient, on_unwelcome: Callable[[str], None]
    ) -> None:
        self._outbox = outbox
        self._client = client
        self._on_unwelcome = on_unwelcome
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float) -> None:
        self._stopping.set()
        self._thread.join(timeout)

    def deliver(self) -> bool:
        """Send the next results; False if there were none. Raises the errors of the client."""
        parcel = self._outbox.next_parcel()
        if parcel is None:
            return False
        try:
            self._send(parcel)
        except Rejected as error:
            log.error("report_rejected", shard=parcel.shard_id, error=str(error))
        self._outbox.remove(parcel)
        return True

    def _send(self, parcel: Parcel) -> None:
        answer = self._client.report(
            parcel.shard_id,
            ReportRequest(
                lease_id=parcel.lease_id,
                done=[item for item in parcel.items if isinstance(item, TrackDone)],
                failed=[item for item in parcel.items if isinstance(item, TrackFailed)],
            ),
        )
        for track in answer.tracks:
            if track.verdict is Verdict.REFUSED:
                log.warning("result_refused", track=track.track_id, reason=track.reason)

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            self._outbox.wait_for_items(timeout=0.5)
            try:
                while self.deliver():
                    pause = FIRST_PAUSE
            except SchedulerAway as error:
                log.warning("scheduler_unreachable", error=str(error), retry_in=pause)
                self._stopping.wait(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
            except NotWelcome as error:
                self._outbox.clear()
                self._on_unwelcome(str(error))
                return
