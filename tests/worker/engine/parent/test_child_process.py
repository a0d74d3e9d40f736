import pytest

from trackfarm_worker.engine.parent.child_process import SETUP, NoReport, ReportRouter
from trackfarm_worker.engine.protocol import Computed, LoadFailed, Retired, RunDone, StoppedTrack


def test_router_sends_reports_to_their_run_and_the_exit_to_all() -> None:
    router = ReportRouter()
    with router.subscribed(1), router.subscribed(2):
        for report in (
            Computed(run_id=1),
            StoppedTrack(run_id=2, track_id=7),
            RunDone(run_id=1),
        ):
            router.route(report)
        router.route(Retired(message="full"))
        router.close()
        assert [router.receive(1, 1) for _ in range(4)] == [
            Computed(run_id=1),
            RunDone(run_id=1),
            Retired(message="full"),
            NoReport.EXITED,
        ]
        assert router.receive(2, 1) == StoppedTrack(run_id=2, track_id=7)


def test_router_drops_reports_without_subscriber_except_those_about_loading() -> None:
    router = ReportRouter()
    router.route(LoadFailed(message="no weights"))
    router.route(RunDone(run_id=3))
    with router.subscribed(3):
        assert router.receive(3, 0) is NoReport.TIMED_OUT
    assert router.receive(SETUP, 0) == LoadFailed(message="no weights")
    with pytest.raises(KeyError):
        router.receive(3, 0)


def test_router_reports_the_exit_to_later_subscribers() -> None:
    router = ReportRouter()
    router.close()
    with router.subscribed(4):
        assert router.receive(4, 0) is NoReport.EXITED
