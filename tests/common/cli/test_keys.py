"""`keys` and `audit`: lifetimes, states, tables, and refusals without a farm."""

from datetime import UTC, datetime, timedelta

import pytest
import typer
from rich.console import Console

from tests.common.cli.command_line import run
from trackfarm.cli.keys import audit_table, keys_table, lifetime, state_of
from trackfarm.protocol.accounts import ApiKeyInfo, AuditEntry, Scope

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)


def make_key(**changes: object) -> ApiKeyInfo:
    defaults: dict[str, object] = {
        "id": "key_0001",
        "name": "label",
        "owner": "label",
        "scopes": [Scope.READ, Scope.SUBMIT],
        "rate": 1200,
        "most_tracks": None,
        "made_at": NOW,
        "expires_at": None,
        "revoked_at": None,
        "last_used_at": None,
    }
    return ApiKeyInfo.model_validate(defaults | changes)


def printed(table: object) -> str:
    console = Console(width=200)
    with console.capture() as output:
        console.print(table)
    return output.get()


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("90m", timedelta(minutes=90)),
        ("12h", timedelta(hours=12)),
        (" 30d ", timedelta(days=30)),
        ("2w", timedelta(weeks=2)),
    ],
)
def test_lifetime_reads_minutes_hours_days_and_weeks(text: str, span: timedelta) -> None:
    assert lifetime(text) == span


@pytest.mark.parametrize("text", ["", "0d", "3", "1y", "-1d", "1.5h", "soon"])
def test_lifetime_refuses_other_text(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not a lifetime; write 90m, 12h, 30d or 2w"):
        lifetime(text)


def test_state_of_a_key_prefers_its_revocation() -> None:
    past, future = NOW - timedelta(days=1), NOW + timedelta(days=1)
    assert state_of(make_key(), NOW) == "active"
    assert state_of(make_key(expires_at=future), NOW).startswith("until ")
    assert state_of(make_key(expires_at=past), NOW).startswith("expired ")
    assert state_of(make_key(expires_at=past, revoked_at=past), NOW).startswith("revoked ")


def test_keys_table_has_scopes_rate_and_limits() -> None:
    text = printed(keys_table([make_key(), make_key(name="two", most_tracks=5_000)], NOW))
    assert "read submit" in text
    assert "1,200/min" in text
    assert "5,000" in text
    assert "never" in text


def test_audit_table_shows_no_control_characters() -> None:
    entry = AuditEntry(
        id=1,
        at=NOW,
        key_id=None,
        key_name="",
        worker_id="worker_1",
        address="127.0.0.1",
        action="job.pause",
        target="job_1",
        outcome="re\x1b[31mfused\n",
        request_id="req_1",
    )
    text = printed(audit_table([entry]))
    assert "worker_1" in text
    assert "\x1b" not in text
    assert "job.pause" in text


@pytest.mark.usefixtures("no_farm")
def test_keys_and_audit_without_a_farm_exit_with_3() -> None:
    assert run("keys", "list").exit_code == 3
    assert run("audit").exit_code == 3
