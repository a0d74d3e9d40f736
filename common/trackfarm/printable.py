"""Untrusted text made safe to print: terminals obey control characters."""


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
