"""The commands about jobs and workers: output, JSON, exit codes."""

import json
import os

import pytest

from tests.common.cli.command_line import Trackfarm, run
from tests.common.fake_farm.state import FarmState, make_ended_job, make_job, make_worker
from trackfarm.protocol.operator import JobInfo, JobState
from trackfarm.settings import FarmAddress, home_path, write_address


def test_jobs_are_listed(farm: FarmState, trackfarm: Trackfarm) -> None:
    farm.add_job(make_job())
    farm.add_job(make_job("job_bbbb0002", catalog="spa [calm]"))
    result = trackfarm("jobs")
    assert result.exit_code == 0
    assert "job_aaaa0001" in result.stdout
    assert "spa [calm]" in result.stdout


def test_listings_are_one_json_document(farm: FarmState, trackfarm: Trackfarm) -> None:
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


def test_job_commands_default_to_the_newest_job(farm: FarmState, trackfarm: Trackfarm) -> None:
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
def test_job_commands_change_the_state(
    action: str, state: JobState, farm: FarmState, trackfarm: Trackfarm
) -> None:
    farm.add_job(make_job())
    result = trackfarm(action, "job_aaaa")
    assert (result.exit_code, farm.jobs["job_aaaa0001"].state) == (0, state)
    assert state.value in result.stdout


def test_remove_asks_for_confirmation(farm: FarmState, trackfarm: Trackfarm) -> None:
    farm.add_job(make_ended_job())
    unconfirmed = trackfarm("remove", "job_aaaa")
    assert (unconfirmed.exit_code, "job_aaaa0001" in farm.jobs) == (1, True), "it was not confirmed"
    assert "Delete job_aaaa0001" in unconfirmed.stderr
    assert trackfarm("remove").exit_code == 2, "a job has to be named"
    removed = trackfarm("remove", "job_aaaa", "--yes")
    assert (removed.exit_code, farm.jobs) == (0, {})
    assert "is being deleted" in removed.stdout


def test_remove_refuses_a_running_job(farm: FarmState, trackfarm: Trackfarm) -> None:
    farm.add_job(make_job())
    assert trackfarm("remove", "job_aaaa", "--yes").exit_code == 4
    assert "job_aaaa0001" in farm.jobs


def test_pause_of_an_ended_job_says_why_it_is_refused(
    farm: FarmState, trackfarm: Trackfarm
) -> None:
    farm.add_job(make_ended_job())
    result = trackfarm("pause", "job_aaaa0001")
    assert (result.exit_code, result.stdout) == (4, "")
    assert "the job is done" in result.stderr


def test_show_of_an_unknown_job_is_refused(trackfarm: Trackfarm) -> None:
    assert trackfarm("show", "job_zzzz").exit_code == 4
    assert trackfarm("show").exit_code == 4


def test_jobs_with_the_wrong_key_are_refused(
    farm: FarmState, trackfarm: Trackfarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKFARM_API_KEY", "wrong")
    result = trackfarm("jobs")
    assert result.exit_code == 4
    assert "TRACKFARM_API_KEY" in result.stderr


@pytest.mark.usefixtures("no_farm")
def test_jobs_without_a_farm_name_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run("jobs")
    assert result.exit_code == 3
    assert "trackfarm up" in result.stderr
    monkeypatch.setenv("TRACKFARM_URL", "http://127.0.0.1:1")
    assert run("jobs").exit_code == 2


def test_jobs_find_the_farm_of_the_home_directory(
    farm: FarmState, trackfarm: Trackfarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    farm.add_job(make_job())
    monkeypatch.delenv("TRACKFARM_URL")
    home = home_path(os.environ)
    home.mkdir()
    write_address(home, FarmAddress(farm.url, "operator-key-of-the-tests", 1))
    assert trackfarm("jobs").exit_code == 0
    assert (home / "farm.json").stat().st_mode & 0o777 == 0o600
