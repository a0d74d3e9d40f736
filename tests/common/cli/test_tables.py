"""Tables of jobs, workers and invitations, as printed."""

from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from tests.common.fake_farm.state import make_ended_job, make_job, make_worker
from trackfarm.cli.tables import (
    ending_card,
    invitations_table,
    job_card,
    jobs_table,
    workers_table,
)
from trackfarm.protocol.operator import InvitationInfo, TrackCounts

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def printed(table: Any) -> str:
    console = Console(width=200, markup=False)
    with console.capture() as output:
        console.print(table)
    return output.get()


def test_jobs_table_has_counts_and_rate() -> None:
    job = make_job(tracks=TrackCounts(pending=1_000, done=2_000), tracks_per_hour=1234.5)
    text = printed(jobs_table([job, make_job("job_b", tracks_per_hour=None)]))
    assert "2,000" in text
    assert "3,000" in text
    assert "1,234" in text


def test_workers_table_shows_untrusted_names_safely() -> None:
    text = printed(workers_table([make_worker("evil\x1b[31m[bold]")]))
    assert "\x1b" not in text
    assert "[bold]" in text
    assert "2 s ago" in text


def test_invitations_table_says_which_are_revoked() -> None:
    invitation = InvitationInfo(
        id="inv_1",
        made_at=AT,
        made_by="root",
        expires_at=AT,
        uses_left=3,
        provider="vast",
        rental_tag=None,
        price_per_hour=None,
        note="spare",
        revoked_at=None,
    )
    revoked = invitation.model_copy(update={"id": "inv_2", "revoked_at": AT})
    text = printed(invitations_table([invitation, revoked])).splitlines()
    assert "revoked" not in text[1]
    assert "revoked" in text[2]


def test_job_card_leaves_out_empty_rows() -> None:
    assert "budget" not in printed(job_card(make_job()))
    text = printed(job_card(make_job(budget=20.0, spent=3.5, deadline=AT)))
    assert "$3.50 of $20.00" in text
    assert "deadline" in text
    assert "noise" in text, "the model set has random weights"


def test_job_card_shows_the_plan_of_the_submission() -> None:
    span = {"low": 600.0, "expected": 900.0, "high": 1_200.0}
    plan = {"eta_seconds": span, "cost": {"total": {"expected": 4.2}}}
    assert "15 min (10 min to 20 min), $4.20" in printed(job_card(make_job(plan=plan)))


def test_ending_card_lists_the_reasons_of_failures() -> None:
    job = make_ended_job(tracks=TrackCounts(done=1, failed=3))
    text = printed(ending_card(job, {"out of memory": 2, "silent": 1}, "in ./music"))
    assert "2 tracks: out of memory" in text
    assert "1 track: silent" in text
    assert "in ./music" in text
