"""The data of `top`: rates, bars and alerts."""

from typing import Any

import pytest

from tests.common.fake_farm.state import make_job, make_worker
from trackfarm.cli.top_view import FarmSnapshot, Throughput, alerts, sparkline
from trackfarm.protocol.operator import (
    FarmStatus,
    JobInfo,
    JobState,
    TrackCounts,
    WorkerInfo,
    WorkerState,
)


def snapshot(
    at: float = 0.0,
    done: int = 0,
    jobs: list[JobInfo] | None = None,
    workers: list[WorkerInfo] | None = None,
    **status: Any,
) -> FarmSnapshot:
    defaults: dict[str, Any] = {"version": "1", "jobs": {}, "workers": {}, "broker_ok": True}
    record = FarmStatus(tracks=TrackCounts(done=done), **(defaults | status))
    return FarmSnapshot(at, record, jobs or [], workers or [])


def test_throughput_starts_with_the_farms_rate_and_counts_then() -> None:
    throughput = Throughput()
    moving = [make_job(tracks_per_hour=120.0), make_job(state=JobState.DONE, tracks_per_hour=9.0)]
    assert throughput.add(snapshot(0, 10, moving)) == 120
    assert throughput.add(snapshot(2, 11, moving)) == 1800
    assert throughput.add(snapshot(4, 9, moving)) == 0, "a retried job gives no negative rate"
    assert throughput.add(snapshot(100, 9, moving)) == 120, "the last minute has a single snapshot"
    assert throughput.add(snapshot(160, 10, moving)) == 60


@pytest.mark.parametrize(
    ("values", "bars"),
    [([], ""), ([0, 0], "▁▁"), ([0, 50, 100], "▁▅█"), ([7, 0, 70, 70], "▁██")],
)
def test_sparkline_scales_from_zero_to_the_largest(values: list[float], bars: str) -> None:
    assert sparkline(values, 3) == bars


def test_alerts_name_the_current_problems() -> None:
    lost = make_worker("one").model_copy(update={"state": WorkerState.LOST})
    poor = make_job(budget=10.0, spent=9.5)
    idle = make_job("job_bbbb0002", eligible_workers=0)
    over = make_job("job_cccc0003", state=JobState.DONE, budget=1.0, spent=1.0)
    messages = alerts(snapshot(jobs=[poor, idle, over], workers=[lost], broker_ok=False))
    assert messages[0] == "the broker does not answer"
    assert messages[1] == "1 worker lost"
    assert messages[2] == "job_aaaa0001: $9.50 of the budget of $10.00 is spent (hotel)"
    assert "no worker serves model set tiny" in messages[3]
    assert len(messages) == 4
    assert alerts(snapshot(jobs=[make_job(budget=10.0, spent=8.0)])) == []
    long_ago = lost.model_copy(update={"seconds_since_heartbeat": 3_600.0})
    assert alerts(snapshot(workers=[long_ago])) == []


def test_dollars_per_hour_counts_connected_workers_only() -> None:
    dear = make_worker("one").model_copy(update={"price_per_hour": 0.5})
    lost = dear.model_copy(update={"state": WorkerState.LOST})
    assert snapshot(workers=[dear, dear, lost]).dollars_per_hour == 1.0
