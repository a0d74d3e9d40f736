"""`submit` with real catalog files."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.common.cli.catalog_files import COVER_ROW, DEMO_ROWS
from tests.common.cli.command_line import Trackfarm, run
from tests.common.fake_farm.server import json_lines
from tests.common.fake_farm.state import FarmState, make_job
from trackfarm.protocol.operator import JobState, TrackCounts


def test_submit_prints_the_notes_of_check_and_sends_nothing_that_cannot_be_made(
    tmp_path: Path, farm: FarmState, trackfarm: Trackfarm
) -> None:
    path = tmp_path / "world.csv"
    path.write_text(DEMO_ROWS)
    checked = run("check", path, "--model-set", "demo").stdout.splitlines()
    result = trackfarm("submit", path, "--model-set", "demo")
    assert result.stdout.splitlines()[:3] == checked[1:]
    assert len(farm.submissions) == 1
    assert "does not sing" not in trackfarm("submit", path, "--model-set", "tiny").stdout
    path.write_text(DEMO_ROWS + COVER_ROW)
    refused = trackfarm("submit", path, "--model-set", "demo")
    assert refused.exit_code == 2
    assert "nothing was sent" in refused.stderr
    assert len(farm.submissions) == 2


def test_submit_sends_the_briefs_and_the_header(
    catalog: Path, farm: FarmState, trackfarm: Trackfarm
) -> None:
    options = ("--priority", "5", "--name", "spa", "--model-set", "tiny")
    result = trackfarm("submit", catalog, *options)
    assert result.exit_code == 0, result.output
    [(header, briefs)] = farm.submissions
    assert (header.catalog, header.priority, header.model_set) == ("spa", 5, "tiny")
    assert [brief.name for brief in briefs] == ["lobby", "gym"]
    assert "2 tracks" in result.stdout
    assert "noise" in result.stdout
    assert "already" in trackfarm("submit", catalog, *options).stdout


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
