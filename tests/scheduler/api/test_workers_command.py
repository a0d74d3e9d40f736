"""`trackfarm workers …` against a real scheduler's application."""

import json
import os
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from tests.common.cli.command_line import run
from tests.scheduler.api_fixture import API_KEY, ApiFixture
from tests.scheduler.farm_fixture import briefs
from trackfarm import Farm
from trackfarm.cli.workers import duration
from trackfarm_worker.cli.models import models

FACTS = {"name": "gpu", "gpu": "cpu", "memory_mib": 24_564, "model_set": "tiny"}


@pytest.fixture
def trackfarm(api: ApiFixture, monkeypatch: pytest.MonkeyPatch) -> ApiFixture:
    for name in [name for name in os.environ if name.startswith("TRACKFARM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TRACKFARM_URL", api.url)
    monkeypatch.setenv("TRACKFARM_API_KEY", API_KEY)
    return api


def workers(*arguments: str) -> Result:
    return run("workers", *arguments)


def said(result: Result) -> Any:
    """Return the JSON document, the last line: the scheduler logs to the same stdout before it."""
    return json.loads(result.stdout.splitlines()[-1])


def token_of(result: Result) -> str:
    assert result.exit_code == 0, result.output
    (line,) = [text for text in result.stdout.splitlines() if "JOIN_TOKEN=" in text]
    return line.partition("=")[2]


def test_command_from_invitation_to_removal(trackfarm: ApiFixture) -> None:
    invited = workers("invite", "--uses", "2", "--expires", "30m", "--note", "cellar")
    token = token_of(invited)
    assert f"TRACKFARM_WORKER_SCHEDULER_URL={trackfarm.url}" in invited.stdout
    joined = trackfarm.post_as_worker("register", token, FACTS).json()
    (line,) = [line for line in workers().stdout.splitlines() if line.startswith("gpu ")]
    assert line.split()[2:5] == ["cpu", "cpu", "tiny"], "its tier is that of its memory"
    assert said(workers("--json"))[0]["device"] == "cpu"
    assert workers("remove", "gpu").exit_code == 0
    assert trackfarm.post_as_worker("heartbeat", joined["token"]).status_code == 401
    assert "no worker" in workers().stdout

    (found,) = said(workers("invitations", "--json"))
    assert (found["uses_left"], found["note"]) == (1, "cellar")
    assert workers("revoke", found["id"]).exit_code == 0
    assert "revoked" in workers("invitations").stdout
    assert trackfarm.post_as_worker("register", token, FACTS).status_code == 401


def test_command_lists_the_model_sets_of_the_farm(trackfarm: ApiFixture) -> None:
    trackfarm.register_worker()
    trackfarm.farm.submit(briefs(3))
    served = typer.Typer()
    served.command()(models)
    shown = CliRunner().invoke(served, ["served"]).stdout.splitlines()
    (line,) = [line for line in shown if line.startswith("tiny ")]
    assert line.split()[1:8] == ["1", "cpu", "1", "0", "3", "0", "the"], "default"
    rows = said(CliRunner().invoke(served, ["served", "--json"]))
    with Farm(trackfarm.url, API_KEY) as client:
        assert rows == [row.model_dump(mode="json") for row in client.models()]


def test_command_prints_json(trackfarm: ApiFixture) -> None:
    told = ["--provider", "vast", "--rental-tag", "t-1", "--price", "1.5"]
    made = said(workers("invite", *told, "--json"))
    worker = trackfarm.farm.worker(
        trackfarm.post_as_worker("register", made["token"], FACTS).json()["worker_id"]
    )
    assert (worker.provider, worker.rental_tag, worker.price_per_hour) == ("vast", "t-1", 1.5)
    assert said(workers("--json"))[0]["id"] == worker.id
    assert said(workers("remove", worker.id, "--json"))["state"] == "gone"
    revoked = workers("revoke", made["invitation"]["id"], "--json")
    assert said(revoked)["revoked_at"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("invite", "--uses", "0"), 2),
        (("invite", "--expires", "soon"), 2),
        (("invite", "--expires", "400d"), 2),
        (("remove", "nobody"), 4),
        (("revoke", "nothing"), 4),
    ],
)
def test_command_explains_refusals(
    trackfarm: ApiFixture, arguments: tuple[str, ...], code: int
) -> None:
    assert workers(*arguments).exit_code == code


def test_command_refuses_a_farm_in_clear_text(
    trackfarm: ApiFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKFARM_URL", "http://farm.example:8700")
    refused = workers()
    assert refused.exit_code == 2
    assert "TRACKFARM_URL=https://farm.example:8700" in refused.stderr
    monkeypatch.setenv("TRACKFARM_URL", trackfarm.url)
    monkeypatch.setenv("TRACKFARM_CA_FILE", "/nowhere/ca.crt")
    refused = workers()
    assert refused.exit_code == 2
    assert "TRACKFARM_CA_FILE=/nowhere/ca.crt" in refused.stderr


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1_800), ("1h", 3_600), ("0.5d", 43_200)]
)
def test_duration_is_parsed(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "1", "h", "-1h", "1w", "1h30m", "0s", "32d"])
def test_duration_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        duration(text)
