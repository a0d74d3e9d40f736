import pytest

from trackfarm_worker.engine.parent.child_process import SETUP, Ending, ReportRouter
from trackfarm_worker.engine.protocol import BatchDone, Computed, LoadFailed, Retired, TrackStopped


def test_each_run_hears_of_itself_and_all_of_the_end() -> None:
    mail = ReportRouter()
    with mail.listening(1), mail.listening(2):
        for report in (
            Computed(batch_id=1),
            TrackStopped(batch_id=2, track_id=7),
            BatchDone(batch_id=1),
        ):
            mail.sort(report)
        mail.sort(Retired(message="full"))
        mail.end()
        assert [mail.receive(1, 1) for _ in range(4)] == [
            Computed(batch_id=1),
            BatchDone(batch_id=1),
            Retired(message="full"),
            Ending.GONE,
        ]
        assert mail.receive(2, 1) == TrackStopped(batch_id=2, track_id=7)


def test_what_nobody_listens_to_is_dropped_and_the_loading_never_is() -> None:
    mail = ReportRouter()
    mail.sort(LoadFailed(message="no weights"))
    mail.sort(BatchDone(batch_id=3))
    with mail.listening(3):
        assert mail.receive(3, 0) is Ending.SILENT
    assert mail.receive(SETUP, 0) == LoadFailed(message="no weights")
    with pytest.raises(KeyError):
        mail.receive(3, 0)


def test_who_comes_after_the_end_hears_of_it() -> None:
    mail = ReportRouter()
    mail.end()
    with mail.listening(4):
        assert mail.receive(4, 0) is Ending.GONE
