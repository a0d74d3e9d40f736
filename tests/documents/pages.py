"""Markdown pages of the project: their headings, tables and links."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_HEADING = re.compile(r"^(#{1,6}) (.+)$")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def pages() -> list[Path]:
    """Return every Markdown page of the repository."""
    folders = (ROOT, DOCS, ROOT / "bench")
    return sorted(page for folder in folders for page in folder.glob("*.md"))


def prose(page: Path) -> Iterator[str]:
    """Yield the lines outside fenced blocks."""
    is_fenced = False
    for line in page.read_text().splitlines():
        if line.lstrip(" -").startswith("```"):
            is_fenced = not is_fenced
        elif not is_fenced:
            yield line


def headings(page: Path) -> list[str]:
    return [match[2] for line in prose(page) if (match := _HEADING.match(line))]


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of the headings."""
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings(page))
    return {text.strip().replace(" ", "-") for text in plain}


def links(page: Path) -> list[str]:
    return [target for line in prose(page) for target in _LINK.findall(line)]


def rows(page: Path) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the headings above each table row, outermost first, and the row's cells."""
    above: dict[int, str] = {}
    for line in prose(page):
        if match := _HEADING.match(line):
            level = len(match[1])
            above = {n: text for n, text in above.items() if n < level} | {level: match[2]}
        elif line.startswith("| ") and not line.startswith("| ---"):
            yield list(above.values()), [cell.strip() for cell in line.strip("|").split(" | ")]
