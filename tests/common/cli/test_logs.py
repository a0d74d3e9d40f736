"""`logs`: one line per event; with --follow, until the job has ended."""

import json
import os
import signal
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest

from tests.common.cli.command_line import Trackfarm
from tests.common.fake_farm.server import API_KEY
from tests.common.fake_farm.state import BEGAN, FarmState, make_job
from trackfarm.protocol.operator import EventInfo, JobState

JOB = "job_aaaa0001"
COMMAND = [sys.executable, "-m", "trackfarm.cli", "logs", "--follow"]


def event(number: int, kind: str, **fields: Any) -> EventInfo:
    defaults: dict[str, Any] = {
        "job_id": JOB,
        "track_id": None,
        "shard_id": None,
        "lease_id": None,
        "worker_id": None,
        "data": {},
    }
    return EventInfo(
        id=number, at=BEGAN + timedelta(seconds=number), kind=kind, **(defaults | fields)
    )


@pytest.fixture
def farm_with_events(farm: FarmState) -> FarmState:
    farm.add_job(make_job("job_bbbb0002"))
    farm.add_job(make_job(JOB))
    farm.events = [
        event(1, "job_accepted"),
        event(2, "job_accepted", job_id="job_bbbb0002"),
        event(3, "shard_offered", shard_id="shard_1", data={"tracks": 3}),
        event(4, "track_failed", track_id=7, worker_id="worker_1", data={"kind": "silent"}),
        event(5, "job_done", data={"reason": "a \x1b[31mred\nword"}),
    ]
    return farm


def test_logs_print_each_event_as_a_line(farm_with_events: FarmState, trackfarm: Trackfarm) -> None:
    result = trackfarm("logs", "--job", "job_aaaa")
    assert result.exit_code == 0, result.output
    first, offered, failed, done = result.stdout.splitlines()
    assert first.split("  ")[1:] == ["job accepted"]
    assert offered.split()[2:] == ["shard", "offered", "shard_1", "tracks=3"]
    assert "track failed" in failed
    assert failed.endswith("track 7 worker_1  kind=silent")
    assert "\x1b" not in done
    assert first.startswith(f"{BEGAN.astimezone() + timedelta(seconds=1):%Y-%m-%d %H:%M:%S}")


def test_logs_default_to_the_newest_job(farm_with_events: FarmState, trackfarm: Trackfarm) -> None:
    assert len(trackfarm("logs").stdout.splitlines()) == 4
    assert len(trackfarm("logs", "--job", "job_bbbb0002").stdout.splitlines()) == 1


def test_logs_json_has_an_event_per_line(farm_with_events: FarmState, trackfarm: Trackfarm) -> None:
    lines = trackfarm("logs", "--json").stdout.splitlines()
    events = [EventInfo.model_validate(json.loads(line)) for line in lines]
    assert events == [e for e in farm_with_events.events if e.job_id == JOB]


def test_logs_of_an_unknown_job_are_refused(
    farm_with_events: FarmState, trackfarm: Trackfarm
) -> None:
    assert trackfarm("logs", "--job", "job_zzzz").exit_code == 4


def test_logs_follow_ends_with_the_job(farm_with_events: FarmState, trackfarm: Trackfarm) -> None:
    farm_with_events.jobs[JOB] = make_job(JOB, state=JobState.DONE)
    assert len(trackfarm("logs", "--follow").stdout.splitlines()) == 4


def test_logs_follow_shows_new_events_until_ctrl_c(farm_with_events: FarmState) -> None:
    environ = dict(os.environ) | {
        "TRACKFARM_URL": farm_with_events.url,
        "TRACKFARM_API_KEY": API_KEY,
    }
    with subprocess.Popen(
        COMMAND, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as logs:
        assert logs.stdout is not None
        for _ in range(4):
            logs.stdout.readline()
        farm_with_events.events.append(event(6, "job_retried"))
        assert "job retried" in logs.stdout.readline()
        logs.send_signal(signal.SIGINT)
        _, complaint = logs.communicate(timeout=20)
    assert logs.returncode == 130
    assert "Traceback" not in complaint
