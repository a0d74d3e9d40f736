"""Text for the operator: untrusted text made safe to print, durations and counts in words.

Terminals obey control characters, so text from outside goes through `clean` or `line`.
"""

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400


def clean(text: str) -> str:
    """Replace characters that could control a terminal; keep line breaks and tabs."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text
    )


def line(text: str) -> str:
    """Replace such characters and put the text on one line."""
    return text if text.isprintable() else " ".join(clean(text).split())


def one_line(text: str, width: int = 120) -> str:
    """Return the text on one line of at most `width` characters."""
    flat = " ".join(clean(text).split())
    return flat if len(flat) <= width else flat[: width - 1] + "…"


def time_words(seconds: float) -> str:
    """Return a duration such as 45 s, 12 min, 3 h 05 min or 2 d 4 h."""
    whole = round(seconds)
    if whole < 2 * _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{round(whole / _MINUTE)} min"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02d} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


def rate_words(tracks_per_hour: float | None) -> str:
    return "? tracks/h" if tracks_per_hour is None else f"{tracks_per_hour:,.0f} tracks/h"


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
