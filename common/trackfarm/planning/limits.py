"""Deadline and budget as the operator writes them: `6h`, `2026-11-27T18:00`, `$20`."""

import math
import re
from datetime import datetime

_UNITS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0}
_SPAN = re.compile(
    r"(?:(?P<d>\d+(?:\.\d+)?)\s*d(?:ays?)?)?\s*"
    r"(?:(?P<h>\d+(?:\.\d+)?)\s*h(?:ours?|rs?)?)?\s*"
    r"(?:(?P<m>\d+(?:\.\d+)?)\s*m(?:in(?:utes?)?)?)?\s*"
    r"(?:(?P<s>\d+(?:\.\d+)?)\s*s(?:ec(?:onds?)?)?)?",
    re.IGNORECASE,
)


class LimitError(ValueError):
    """A limit that cannot be understood or has passed; the message says what to write."""


def parse_deadline(text: str, now: datetime) -> float:
    """Seconds from `now` (with its time zone) to a span such as 90m or 1d 12h, or to a moment in
    ISO form; one without a time zone is in that of `now`. Raises LimitError."""
    found = _SPAN.fullmatch(text.strip())
    seconds = sum(float(n) * _UNITS[unit] for unit, n in _given(found)) if found else 0.0
    if seconds == 0:
        seconds = (_moment(text.strip(), now) - now).total_seconds()
    if seconds <= 0:
        raise LimitError(f"the deadline {text.strip()} has passed")
    return seconds


def parse_budget(text: str) -> float:
    """Dollars. Raises LimitError."""
    try:
        amount = float(text.strip().removeprefix("$").replace(",", ""))
    except ValueError:
        amount = -1.0
    if not 0 <= amount < math.inf:
        raise LimitError(f"{text!r} is no budget; write dollars, for example 20 or 19.50")
    return amount


def _given(found: re.Match[str]) -> list[tuple[str, str]]:
    return [(unit, number) for unit, number in found.groupdict().items() if number]


def _moment(text: str, now: datetime) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise LimitError(
            f"{text!r} is no deadline; write a time from now such as 6h, 90m or 1d12h,"
            " or a moment such as 2026-11-27T18:00"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=now.tzinfo)
