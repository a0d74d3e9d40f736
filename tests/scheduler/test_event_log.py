"""Event log: one line per committed event."""

from structlog.testing import capture_logs

from trackfarm_scheduler import event_log
from trackfarm_scheduler.db.events import JournalEvent

LOST = JournalEvent(at=1.0, kind="worker_lost", worker_id="worker_1", data={"silent_seconds": 12})
DONE = JournalEvent(at=2.0, kind="track_done", job_id="job_1", track_id=7)


def test_event_log_has_the_ids_and_the_data_of_an_event() -> None:
    with capture_logs() as lines:
        event_log.log_events([LOST])
    assert lines == [
        {
            "event": "worker_lost",
            "log_level": "info",
            "worker": "worker_1",
            "silent_seconds": 12,
        }
    ]


def test_event_log_has_frequent_events_only_at_debug_level() -> None:
    with capture_logs() as lines:
        event_log.log_events([DONE, LOST])
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("worker_lost", "info"),
        ("track_done", "debug"),
    ]
