"""`watch`: output, JSON and exit codes of a job that is followed until it ends."""

import pytest

from tests.common.cli.command_line import Trackfarm
from tests.common.fake_farm.server import json_lines
from tests.common.fake_farm.state import FarmState, make_ended_job, make_job
from trackfarm.protocol.operator import JobInfo, JobState, TrackCounts, TrackState


def test_watch_of_a_done_job_exits_with_0(farm: FarmState, trackfarm: Trackfarm) -> None:
    farm.add_job(make_job())
    farm.script["job_aaaa0001"] = [make_job(), make_job(), make_ended_job()]
    result = trackfarm("watch", "job_aaaa0001")
    assert result.exit_code == 0, result.output
    assert "1/3 tracks" in result.stdout
    assert "3 of 3 done" in result.stdout
    assert "noise" in result.stdout
    assert "\x1b" not in result.stdout


def test_watch_of_a_job_with_failures_exits_with_1_and_their_reasons(
    farm: FarmState, trackfarm: Trackfarm
) -> None:
    job = farm.add_job(make_ended_job(tracks=TrackCounts(done=1, failed=2)), [b"a", b"b", b"c"])
    lost = {"state": TrackState.FAILED, "error": "out of memory", "artifact": None}
    farm.tracks[job.id][1:] = [t.model_copy(update=lost) for t in farm.tracks[job.id][1:]]
    result = trackfarm("watch")
    assert result.exit_code == 1
    assert "2 tracks: out of memory" in result.stdout


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED, JobState.OUT_OF_BUDGET])
def test_watch_of_an_unsuccessful_job_exits_with_1(
    state: JobState, farm: FarmState, trackfarm: Trackfarm
) -> None:
    farm.add_job(make_ended_job(state=state, reason="no budget left"))
    result = trackfarm("watch")
    assert result.exit_code == 1
    assert f"{state.value} (no budget left)" in result.stdout


def test_watch_names_a_missing_worker(farm: FarmState, trackfarm: Trackfarm) -> None:
    farm.add_job(make_job())
    farm.script["job_aaaa0001"] = [make_job(eligible_workers=0), make_ended_job()]
    assert "no worker serves model set tiny" in trackfarm("watch").stdout


def test_watch_survives_outages(farm: FarmState, trackfarm: Trackfarm) -> None:
    farm.add_job(make_job())
    farm.script["job_aaaa0001"] = [make_job(), make_ended_job()]
    farm.after_next_job = [503, 503]
    result = trackfarm("watch", "job_aaaa0001", "--json")
    assert result.exit_code == 0, result.output
    kinds = [
        "outage" if "unreachable_seconds" in x else x["state"] for x in json_lines(result.stdout)
    ]
    assert kinds == ["outage", "outage", "done"]


def test_watch_json_has_one_object_per_line(farm: FarmState, trackfarm: Trackfarm) -> None:
    farm.add_job(make_job())
    steps = [make_job(), make_job(tracks=TrackCounts(pending=1, done=2)), make_ended_job()]
    farm.script["job_aaaa0001"] = [make_job(), *steps]
    printed = [
        JobInfo.model_validate(item) for item in json_lines(trackfarm("watch", "--json").stdout)
    ]
    assert printed == steps
