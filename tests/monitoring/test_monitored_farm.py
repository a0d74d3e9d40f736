"""A Prometheus watches a farm with several faults: panels have data, and the right alerts fire.

The shipped rules run twenty times as fast (`watching.hastened`); thresholds are unchanged. With
TRACKFARM_PICTURES=FOLDER the dashboards are drawn from the series of this run into that folder.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.chaos.damage import UNCHECKED, damaged_copy
from tests.chaos.test_poisoned_track import POISON_STEPS, EngineKiller, has_ended
from tests.end_to_end.catalogs import briefs, fresh_name
from tests.end_to_end.farm import API_KEY, JOIN_TOKEN, LocalFarm, Setting, running_farm
from tests.monitoring.gpu_worker import ReportingGpuWorker
from tests.monitoring.prometheus_server import HASTE, hastened, prometheus
from tests.monitoring.queries import chosen
from tests.servers.process import wait_until
from trackfarm.protocol.operator import JobHeader, JobState, WorkerState
from trackfarm_dashboards.collection import DASHBOARDS
from trackfarm_dashboards.drawing import draw
from trackfarm_dashboards.history import History, HistoryLine
from trackfarm_dashboards.model import laid_out
from trackfarm_scheduler.db.tables import ArtifactRow

TRACKS, POISONED = 200, 60
HIRED: dict[str, Setting] = {"step_delay": 0.05, "provider": "vast", "price_per_hour": 0.36}
EXPECTED = {
    "TrackfarmHeartbeatLost",
    "TrackfarmWorkerQuarantined",
    "TrackfarmSilentOutput",
    "TrackfarmBrokerDown",
}
# Depends on the size of the bad worker's only shard and, on a slow machine, on whether an engine
# restarts within 45 s, the duration of NoProgress in these rules.
MAY_FIRE = {"TrackfarmFailureRate", "TrackfarmNoProgress"}


class AlertWatch:
    """A farm, its Prometheus, and all alerts that have fired."""

    def __init__(self, farm: LocalFarm, history: History) -> None:
        self.farm = farm
        self.history = history
        self.fired: set[str] = set()

    def firing_alerts(self) -> set[str]:
        """Return the alerts firing now."""
        states = self.history.alerts()
        now = {name for name, state in states.items() if state == "firing"}
        self.fired |= now
        return now

    def until(self, alert: str, *, fires: bool) -> None:
        what = f"{alert} {'fires' if fires else 'ends'}"
        wait_until(lambda: (alert in self.firing_alerts()) is fires, timeout_s=90, what=what)


@pytest.fixture
def watch(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> Iterator[AlertWatch]:
    with running_farm(request, tmp_path_factory) as farm:
        target = farm.url.removeprefix("http://")
        with prometheus(tmp_path, target, API_KEY) as url, History(url) as history:
            farm.start_workers("one", "two", **HIRED)
            watch = AlertWatch(farm, history)
            watch.until("TrackfarmSchedulerDown", fires=False)
            with ReportingGpuWorker(farm.url, JOIN_TOKEN):
                yield watch


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_monitored_farm_raises_alerts_for_failures(watch: AlertWatch, tmp_path: Path) -> None:
    farm, start = watch.farm, time.time()
    job = submitted(farm)
    poisoned = farm.database.tracks(job)[POISONED].id
    assert poisoned is not None

    def done(number: int) -> bool:
        watch.firing_alerts()
        return farm.database.has_done(job, number) or has_ended(farm, job)

    with killing(EngineKiller(farm, poisoned)):
        wait_until(lambda: done(20), timeout_s=240, what="a tenth is made")
        farm.workers["two"].kill()
        wait_until(lambda: done(50), timeout_s=240, what="a quarter is made")
        farm.start_worker_process(
            "bad", model_path=str(damaged_copy(tmp_path)), **(HIRED | UNCHECKED)
        )
        watch.until("TrackfarmHeartbeatLost", fires=True)
        farm.start_worker_process("two", **HIRED)
        wait_until(lambda: done(TRACKS), timeout_s=400, what="all is made")
    ended = farm.client.job(job)
    assert (ended.state, ended.tracks.done, ended.tracks.failed) == (JobState.DONE, TRACKS - 1, 1)
    assert farm.database.newest_worker("bad").state == WorkerState.QUARANTINED

    watch.until("TrackfarmWorkerQuarantined", fires=True)
    farm.workers["bad"].stop()
    farm.infrastructure.broker.kill()
    watch.until("TrackfarmBrokerDown", fires=True)
    farm.infrastructure.broker.start()
    for alert in sorted(EXPECTED | MAY_FIRE):
        watch.until(alert, fires=False)
    quiet = "fleet:trackfarm_tracks_per_hour == 0 and on () max(trackfarm_broker_up) == 1"
    wait_until(lambda: bool(watch.history.now(quiet)), timeout_s=60, what="every window has passed")

    watch.history.start, watch.history.end = start, time.time()
    folder = os.environ.get("TRACKFARM_PICTURES")
    pictures(watch, Path(folder) if folder else tmp_path)
    every_panel_has_data(watch)
    counts_every_track(watch)
    print(f"fired: {sorted(watch.fired)}")
    assert watch.fired >= EXPECTED
    assert watch.fired <= EXPECTED | MAY_FIRE, "no other alert fired"


@contextmanager
def killing(killer: EngineKiller) -> Iterator[None]:
    """Strike throughout the test: heartbeats report the track once per second."""
    over = threading.Event()

    def keep_killing() -> None:
        while not over.wait(0.1):
            killer.kill_engine()

    thread = threading.Thread(target=keep_killing)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def submitted(farm: LocalFarm) -> str:
    """Submit 200 tracks with budget and deadline. A fixed seed gives a track a single try in the
    engine."""
    wanted = [
        brief.model_copy(update={"seed": n})
        for n, brief in enumerate(briefs(TRACKS, longest=11, steps=1))
    ]
    wanted[POISONED] = wanted[POISONED].model_copy(update={"inference_steps": POISON_STEPS})
    header = JobHeader(
        catalog=fresh_name("watched"),
        model_set="tiny",
        budget=5.0,
        deadline=datetime.now(UTC) + timedelta(hours=3),
    )
    return farm.client.submit(header, wanted).job.id


def counts_every_track(watch: AlertWatch) -> None:
    """Check that tracks per hour, summed second by second, equal the tracks in the database."""
    (line,) = watch.history.lines("fleet:trackfarm_tracks_per_hour")
    recorded = sum(line.values) / 3600
    done = len(watch.farm.database.rows(ArtifactRow))
    assert watch.history.now('sum(trackfarm_tracks_total{outcome="done"})') == [done]
    print(f"recorded {recorded:.2f} tracks, the database has {done}")
    assert recorded == pytest.approx(done, rel=0.01)


def query_lines(watch: AlertWatch, expr: str) -> list[HistoryLine]:
    return watch.history.lines(hastened(chosen(expr)))


def every_panel_has_data(watch: AlertWatch) -> None:
    empty = [
        f"{dashboard.uid}: {panel.title}: {query.expr}"
        for dashboard in DASHBOARDS
        for panel, _ in laid_out(dashboard)
        for query in panel.queries
        if not any(line.values for line in query_lines(watch, query.expr))
    ]
    assert not empty, "\n".join(empty)


def pictures(watch: AlertWatch, folder: Path) -> None:
    for dashboard in DASHBOARDS:
        path = folder / f"{dashboard.uid.removeprefix('trackfarm-')}.png"
        span = watch.history.start, watch.history.end
        draw(dashboard, lambda expr: query_lines(watch, expr), path, span=span)
        assert path.stat().st_size > 20_000


def test_monitored_farm_changes_only_durations() -> None:
    rule = "expr: rate(x[5m]) > 60\nfor: 15m\nsummary: 5m"
    assert hastened(rule) == "expr: rate(x[15s]) > 60\nfor: 45s\nsummary: 5m"
    assert HASTE == 20
