"""Relative links of the documents lead to files and headings that exist."""

from pathlib import Path

import pytest

from tests.documents.pages import ROOT, anchors, links, pages


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = [target for target in links(page) if not _exists(page, target)]
    assert broken == []


def test_links_are_found() -> None:
    """Verify that the test above can fail."""
    readme = ROOT / "README.md"
    assert len(links(readme)) > 10
    assert not _exists(readme, "docs/operating.md")
    assert not _exists(readme, "docs/settings.md#no-such-heading")
    assert _exists(readme, "docs/settings.md#scheduler")


def _exists(page: Path, target: str) -> bool:
    if target.startswith(("https://", "http://")):
        return True
    name, _, anchor = target.partition("#")
    path = page.parent / name if name else page
    return path.exists() and (not anchor or anchor in anchors(path))
