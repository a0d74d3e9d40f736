"""The commands about jobs and workers: output, JSON, exit codes."""

import json
import os
from typing import Any

import pytest

from tests.common.cli.farm_server import json_lines
from tests.common.cli.farm_state import FarmState, make_job, make_worker
from tests.common.cli.runner import Trackfarm, run
from trackfarm.protocol.operator import JobInfo, JobState, TrackCounts, TrackState
from trackfarm.settings import FarmAddress, home_path, write_address


def ended(**changes: Any) -> JobInfo:
    defaults: dict[str, Any] = {
        "state": JobState.DONE,
        "tracks": TrackCounts(done=3),
        "eta_seconds": None,
    }
    return make_job(**(defaults | changes))


def test_jobs_are_listed(farm: FarmState, trackfarm: Trackfarm) -> None:
    farm.add_job(make_job())
    farm.add_job(make_job("job_bbbb0002", catalog="spa [calm]"))
    result = trackfarm("jobs")
    assert result.exit_code == 0
    assert "job_aaaa0001" in result.stdout
    assert "spa [calm]" in result.stdout


def test_every_listing_is_one_json_document(farm: FarmState, trackfarm: Trackfarm) -> None:
    job = farm.add_job(make_job())
    farm.workers = [make_worker("cpu-1")]
    assert [
        JobInfo.model_validate(item) for item in json.loads(trackfarm("jobs", "--json").stdout)
    ] == [job]
    assert json.loads(trackfarm("workers", "--json").stdout)[0]["name"] == "cpu-1"
    assert JobInfo.model_validate_json(trackfarm("show", "--json").stdout) == job


def test_workers_are_listed(farm: FarmState, trackfarm: Trackfarm) -> None:
    farm.workers = [make_worker("evil\x1b[31m")]
    result = trackfarm("workers")
    assert "evil" in result.stdout
    assert "\x1b" not in result.stdout


def test_the_newest_job_is_meant_when_none_is_named(farm: FarmState, trackfarm: Trackfarm) -> None:
    farm.add_job(make_job())
    farm.add_job(make_job("job_bbbb0002"))
    assert trackfarm("pause").exit_code == 0
    assert [job.state for job in farm.jobs.values()] == [JobState.RUNNING, JobState.PAUSED]


@pytest.mark.parametrize(
    ("action", "state"),
    [
        ("pause", JobState.PAUSED),
        ("resume", JobState.RUNNING),
        ("cancel", JobState.CANCELLED),
        ("retry", JobState.RUNNING),
    ],
)
def test_a_job_is_changed(
    action: str, state: JobState, farm: FarmState, trackfarm: Trackfarm
) -> None:
    farm.add_job(make_job())
    result = trackfarm(action, "job_aaaa")
    assert (result.exit_code, farm.jobs["job_aaaa0001"].state) == (0, state)
    assert state.value in result.stdout


def test_a_removal_is_confirmed(farm: FarmState, trackfarm: Trackfarm) -> None:
    farm.add_job(ended())
    unconfirmed = trackfarm("remove", "job_aaaa")
    assert (unconfirmed.exit_code, "job_aaaa0001" in farm.jobs) == (1, True), "it was not confirmed"
    assert "Delete job_aaaa0001" in unconfirmed.stderr
    assert trackfarm("remove").exit_code == 2, "a job has to be named"
    removed = trackfarm("remove", "job_aaaa", "--yes")
    assert (removed.exit_code, farm.jobs) == (0, {})
    assert "is being deleted" in removed.stdout


def test_what_runs_is_not_removed(farm: FarmState, trackfarm: Trackfarm) -> None:
    farm.add_job(make_job())
    assert trackfarm("remove", "job_aaaa", "--yes").exit_code == 4
    assert "job_aaaa0001" in farm.jobs


def test_a_refused_change_says_why(farm: FarmState, trackfarm: Trackfarm) -> None:
    farm.add_job(ended())
    result = trackfarm("pause", "job_aaaa0001")
    assert (result.exit_code, result.stdout) == (4, "")
    assert "the job is done" in result.stderr


def test_an_unknown_job_is_refused(trackfarm: Trackfarm) -> None:
    assert trackfarm("show", "job_zzzz").exit_code == 4
    assert trackfarm("show").exit_code == 4


def test_the_wrong_key_is_refused(
    farm: FarmState, trackfarm: Trackfarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKFARM_API_KEY", "wrong")
    result = trackfarm("jobs")
    assert result.exit_code == 4
    assert "TRACKFARM_API_KEY" in result.stderr


@pytest.mark.usefixtures("away")
def test_without_a_farm_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run("jobs")
    assert result.exit_code == 3
    assert "trackfarm up" in result.stderr
    monkeypatch.setenv("TRACKFARM_URL", "http://127.0.0.1:1")
    assert run("jobs").exit_code == 2


def test_the_farm_of_the_home_directory_is_found(
    farm: FarmState, trackfarm: Trackfarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    farm.add_job(make_job())
    monkeypatch.delenv("TRACKFARM_URL")
    home = home_path(os.environ)
    home.mkdir()
    write_address(home, FarmAddress(farm.url, "operator-key-of-the-tests", 1))
    assert trackfarm("jobs").exit_code == 0
    assert (home / "farm.json").stat().st_mode & 0o777 == 0o600


def test_a_watched_job_that_is_done_ends_with_zero(farm: FarmState, trackfarm: Trackfarm) -> None:
    farm.add_job(make_job())
    farm.script["job_aaaa0001"] = [make_job(), make_job(), ended()]
    result = trackfarm("watch", "job_aaaa0001")
    assert result.exit_code == 0, result.output
    assert "1/3 tracks" in result.stdout
    assert "3 of 3 done" in result.stdout
    assert "noise" in result.stdout
    assert "\x1b" not in result.stdout


def test_a_job_with_failures_ends_with_one_and_their_reasons(
    farm: FarmState, trackfarm: Trackfarm
) -> None:
    job = farm.add_job(ended(tracks=TrackCounts(done=1, failed=2)), [b"a", b"b", b"c"])
    lost = {"state": TrackState.FAILED, "error": "out of memory", "artifact": None}
    farm.tracks[job.id][1:] = [t.model_copy(update=lost) for t in farm.tracks[job.id][1:]]
    result = trackfarm("watch")
    assert result.exit_code == 1
    assert "2 tracks: out of memory" in result.stdout


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED, JobState.OUT_OF_BUDGET])
def test_a_job_that_did_not_end_well_ends_with_one(
    state: JobState, farm: FarmState, trackfarm: Trackfarm
) -> None:
    farm.add_job(ended(state=state, reason="no budget left"))
    result = trackfarm("watch")
    assert result.exit_code == 1
    assert f"{state.value} (no budget left)" in result.stdout


def test_a_missing_worker_is_said(farm: FarmState, trackfarm: Trackfarm) -> None:
    farm.add_job(make_job())
    farm.script["job_aaaa0001"] = [make_job(eligible_workers=0), ended()]
    assert "no worker serves model set tiny" in trackfarm("watch").stdout


def test_watching_rides_through_outages(farm: FarmState, trackfarm: Trackfarm) -> None:
    farm.add_job(make_job())
    farm.script["job_aaaa0001"] = [make_job(), ended()]
    farm.after_next_job = [503, 503]
    result = trackfarm("watch", "job_aaaa0001", "--json")
    assert result.exit_code == 0, result.output
    kinds = [
        "outage" if "unreachable_seconds" in x else x["state"] for x in json_lines(result.stdout)
    ]
    assert kinds == ["outage", "outage", "done"]


def test_watching_in_json_is_one_object_a_line(farm: FarmState, trackfarm: Trackfarm) -> None:
    farm.add_job(make_job())
    steps = [make_job(), make_job(tracks=TrackCounts(pending=1, done=2)), ended()]
    farm.script["job_aaaa0001"] = [make_job(), *steps]
    printed = [
        JobInfo.model_validate(item) for item in json_lines(trackfarm("watch", "--json").stdout)
    ]
    assert printed == steps
