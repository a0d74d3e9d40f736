"""Notation of deadlines and budgets."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from trackfarm.planning import LimitError, parse_budget, parse_deadline

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=timezone(timedelta(hours=1)))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6h", 21_600),
        ("90m", 5_400),
        ("90 min", 5_400),
        ("1d12h", 129_600),
        ("1d 2h 3m 4s", 93_784),
        ("1.5 hours", 5_400),
        ("45s", 45),
        (" 2D ", 172_800),
        ("2026-11-27T18:00", 21_600),
        ("2026-11-27T18:00Z", 25_200),
        ("2026-11-28", 43_200),
    ],
)
def test_parse_deadline_reads_spans_and_times(text: str, seconds: float) -> None:
    assert parse_deadline(text, NOW) == seconds


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("soon", "is not a deadline"),
        ("", "is not a deadline"),
        ("6", "is not a deadline"),
        ("0h", "is not a deadline"),
        ("-6h", "is not a deadline"),
        ("2026-11-27T11:59", "has passed"),
        ("2026-13-01", "is not a deadline"),
    ],
)
def test_parse_deadline_refuses_other_text(text: str, complaint: str) -> None:
    with pytest.raises(LimitError, match=complaint):
        parse_deadline(text, NOW)


def test_parse_deadline_uses_the_time_zone_of_now() -> None:
    assert parse_deadline("2026-11-27T12:00", NOW.astimezone(UTC)) == 3_600


@pytest.mark.parametrize(
    ("text", "dollars"), [("20", 20), ("$19.50", 19.5), ("1,200", 1_200), ("0", 0)]
)
def test_parse_budget_reads_dollars(text: str, dollars: float) -> None:
    assert parse_budget(text) == dollars


@pytest.mark.parametrize("text", ["", "-1", "much", "inf", "nan", "20 EUR"])
def test_parse_budget_refuses_other_text(text: str) -> None:
    with pytest.raises(LimitError, match="is not a budget"):
        parse_budget(text)
