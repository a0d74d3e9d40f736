"""`trackfarm keys` and `trackfarm audit` against a real scheduler."""

import json
import re

import pytest
from typer.testing import CliRunner, Result

from tests.end_to_end.farm import API_KEY, LocalFarm
from trackfarm.catalog import Brief
from trackfarm.cli import app
from trackfarm.cli.console import ExitCode
from trackfarm.protocol.operator import JobHeader


@pytest.fixture
def at_the_farm(farm: LocalFarm, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("TRACKFARM_URL", farm.url)
    monkeypatch.setenv("TRACKFARM_API_KEY", API_KEY)
    return monkeypatch


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_keys_command_from_creation_to_revocation(at_the_farm: pytest.MonkeyPatch) -> None:
    scopes = ("--scope", "submit", "--scope", "read")
    made = run("keys", "create", "label", *scopes, "--expires", "30d", "--tracks", "500")
    assert made.exit_code == ExitCode.OK, made.output
    secret = made.stdout.strip()
    assert re.fullmatch(r"tf_[\w-]{43}", secret), "and nothing else on stdout"
    assert "submit" in made.stderr
    listed = next(line for line in run("keys", "list").stdout.splitlines() if "label" in line)
    assert "500" in listed
    assert "until" in listed
    assert secret not in listed
    at_the_farm.setenv("TRACKFARM_API_KEY", secret)
    assert run("jobs").exit_code == ExitCode.OK
    refused = run("keys", "list")
    assert refused.exit_code == ExitCode.REFUSED
    assert "`admin`" in refused.stderr
    at_the_farm.setenv("TRACKFARM_API_KEY", API_KEY)
    assert "is revoked" in run("keys", "revoke", "label").stdout
    at_the_farm.setenv("TRACKFARM_API_KEY", secret)
    assert run("jobs").exit_code == ExitCode.REFUSED


def test_keys_command_prints_json(at_the_farm: pytest.MonkeyPatch) -> None:
    made = json.loads(run("keys", "create", "robot", "--scope", "admin", "--json").stdout)
    assert made["secret"].startswith("tf_")
    assert made["key"]["scopes"] == ["admin"]
    listed = json.loads(run("keys", "list", "--json").stdout)
    assert made["key"]["id"] in [key["id"] for key in listed]
    ended = json.loads(run("keys", "revoke", made["key"]["id"], "--json").stdout)
    assert ended["revoked_at"]


@pytest.mark.parametrize(
    "wrong",
    [
        ("x", "--scope", "root"),
        ("x",),
        ("x", "--scope", "read", "--expires", "soon"),
        ("a/b", "--scope", "read"),
        ("x", "--scope", "read", "--owner", "../y"),
        ("x", "--scope", "read", "--rate", "0"),
    ],
)
def test_keys_command_refuses_invalid_options(wrong: tuple[str, ...]) -> None:
    assert run("keys", "create", *wrong).exit_code == ExitCode.BAD_INPUT


def test_audit_command_shows_the_log_of_one_job(
    farm: LocalFarm, at_the_farm: pytest.MonkeyPatch
) -> None:
    brief = Brief(prompt="calm", duration=10)
    job = farm.client.submit(JobHeader(catalog="audited", model_set="tiny"), [brief]).job.id
    farm.client.pause(job)
    farm.client.cancel(job)
    entries = [
        json.loads(line) for line in run("audit", "--job", job, "--json").stdout.split("\n")[:-1]
    ]
    assert [entry["action"] for entry in entries] == ["job.submit", "job.pause", "job.cancel"]
    table = run("audit", "--job", job[:-2]).stdout
    assert table.count(job) == 3
    assert "root" in table
    assert run("audit").stdout.count("\n") > 3
