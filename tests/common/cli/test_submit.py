"""`check` and `submit` with real catalog files."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.common.cli.command_line import Trackfarm, run
from tests.common.fake_farm.server import json_lines
from tests.common.fake_farm.state import FarmState, make_job
from trackfarm.protocol.operator import JobState, TrackCounts

GOOD = "prompt,duration,name\ncalm [piano],30,lobby\nfast drums,20,gym\n"


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    path = tmp_path / "hotel.csv"
    path.write_text(GOOD)
    return path


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "broken.csv"
    path.write_text("prompt,duration\n" + "piano,5\n" * 1_200)
    return path


@pytest.mark.usefixtures("no_farm")
def test_check_needs_no_farm(catalog: Path) -> None:
    result = run("check", catalog)
    assert result.exit_code == 0
    assert "2 briefs, 2 tracks" in result.stdout
    document = json.loads(run("check", catalog, "--json").stdout)
    assert document == {
        "problem_count": 0,
        "problems": [],
        "briefs": 2,
        "tracks": 2,
        "audio_seconds": 50.0,
    }


@pytest.mark.usefixtures("no_farm")
def test_check_prints_up_to_a_thousand_problems(broken: Path) -> None:
    result = run("check", broken)
    assert (result.exit_code, result.stdout) == (2, "")
    lines = result.stderr.splitlines()
    assert len(lines) == 2, "equal mistakes are one line"
    assert f"{broken}:2: duration: " in lines[0]
    assert lines[0].endswith("(and 999 more rows: 3, 4, 5, ...)")
    assert "1,200 mistakes" in lines[-1]
    assert json.loads(run("check", broken, "--json").stdout)["problem_count"] == 1_200


@pytest.mark.usefixtures("no_farm")
def test_check_of_an_unreadable_file_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "odd.docx"
    path.write_text("x")
    assert run("check", path).exit_code == 2
    assert run("check", tmp_path / "missing.csv").exit_code == 2


def test_submit_sends_the_briefs_and_the_header(
    catalog: Path, farm: FarmState, trackfarm: Trackfarm
) -> None:
    result = trackfarm("submit", catalog, "--priority", "5", "--name", "spa")
    assert result.exit_code == 0, result.output
    [(header, briefs)] = farm.submissions
    assert (header.catalog, header.priority, header.model_set) == ("spa", 5, "tiny")
    assert [brief.name for brief in briefs] == ["lobby", "gym"]
    assert "2 tracks" in result.stdout
    assert "noise" in result.stdout
    assert "already" in trackfarm("submit", catalog, "--priority", "5", "--name", "spa").stdout


def test_submit_sends_nothing_of_a_wrong_catalog(
    broken: Path, farm: FarmState, trackfarm: Trackfarm
) -> None:
    result = trackfarm("submit", broken)
    assert result.exit_code == 2
    assert "nothing was sent" in result.stderr
    assert farm.submissions == []


def test_submit_refused_by_the_farm_is_bad_input(
    catalog: Path, farm: FarmState, trackfarm: Trackfarm
) -> None:
    farm.bad_briefs = [{"brief": 2, "field": "duration", "wrong": "over the tier's limit"}]
    result = trackfarm("submit", catalog)
    assert result.exit_code == 2
    assert "over the tier's limit" in result.stderr


def test_submit_can_follow_the_job(catalog: Path, farm: FarmState, trackfarm: Trackfarm) -> None:
    done = make_job(state=JobState.DONE, tracks=TrackCounts(done=2))
    farm.script["job_aaaa0001"] = [done]
    result = trackfarm("submit", catalog, "--watch", "--json")
    assert result.exit_code == 0, result.output
    answer, last = json_lines(result.stdout)
    assert answer["job"]["state"] == "running"
    assert last["state"] == "done"


def test_submit_says_deadline_budget_and_lane(
    catalog: Path, farm: FarmState, trackfarm: Trackfarm
) -> None:
    options = ["--deadline", "6h", "--budget", "$19.50", "--interactive"]
    result = trackfarm("submit", catalog, *options)
    assert result.exit_code == 0, result.output
    [(header, _)] = farm.submissions
    assert (header.budget, header.lane) == (19.5, "interactive")
    assert header.deadline is not None
    left = (header.deadline - datetime.now(UTC)).total_seconds()
    assert 5.9 * 3600 < left <= 6 * 3600


@pytest.mark.parametrize(
    ("option", "value"), [("--deadline", "soon"), ("--budget", "much"), ("--budget", "0")]
)
def test_submit_with_a_wrong_limit_sends_nothing(
    catalog: Path, farm: FarmState, trackfarm: Trackfarm, option: str, value: str
) -> None:
    result = trackfarm("submit", catalog, option, value)
    assert result.exit_code == 2
    assert value in result.stderr
    assert not farm.submissions
