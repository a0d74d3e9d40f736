"""Notation for deadline and budget: `6h`, `2026-11-27T18:00`, `$20`."""

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
    """The limit cannot be parsed or has passed; the message says how to write it."""


def parse_deadline(text: str, now: datetime) -> float:
    """Return the seconds from `now` to a deadline. Raises LimitError.

    The deadline is a time span such as 90m or 1d 12h, or an ISO time; without a time zone it is in
    that of `now`, which must have one.
    """
    match = _SPAN.fullmatch(text.strip())
    seconds = sum(float(n) * _UNITS[unit] for unit, n in _numbers(match)) if match else 0.0
    if seconds == 0:
        seconds = (_moment(text.strip(), now) - now).total_seconds()
    if seconds <= 0:
        raise LimitError(f"the deadline {text.strip()} has passed")
    return seconds


def parse_budget(text: str) -> float:
    """Parse an amount of dollars. Raises LimitError."""
    try:
        amount = float(text.strip().removeprefix("$").replace(",", ""))
    except ValueError:
        amount = -1.0
    if not 0 <= amount < math.inf:
        raise LimitError(f"{text!r} is not a budget; write dollars, for example 20 or 19.50")
    return amount


def _numbers(match: re.Match[str]) -> list[tuple[str, str]]:
    return [(unit, number) for unit, number in match.groupdict().items() if number]


def _moment(text: str, now: datetime) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise LimitError(
            f"{text!r} is not a deadline; write a time from now such as 6h, 90m or 1d12h,"
            " or a time such as 2026-11-27T18:00"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=now.tzinfo)
