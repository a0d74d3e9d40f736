"""Text from strangers, made fit to be shown: a terminal obeys what it is sent."""


def clean(text: str) -> str:
    """The text without characters that could command a terminal; line breaks and tabs stay."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text
    )


def line(text: str) -> str:
    """The text without such characters and on one line."""
    return text if text.isprintable() else " ".join(clean(text).split())
