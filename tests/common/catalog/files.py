"""Helpers for the catalog tests: write a catalog file, read its briefs and problems."""

from pathlib import Path

import pytest

from trackfarm.catalog import Brief, CatalogError, CatalogProblem, check_catalog, open_catalog


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def briefs(path: Path) -> list[Brief]:
    outcomes = [row.outcome for row in open_catalog(path).rows()]
    good = [outcome for outcome in outcomes if isinstance(outcome, Brief)]
    assert len(good) == len(outcomes), outcomes
    return good


def problems(path: Path) -> list[CatalogProblem]:
    result = list(check_catalog(path).problems)
    assert result
    return result


def stopped(path: Path) -> list[CatalogProblem]:
    with pytest.raises(CatalogError) as raised:
        check_catalog(path)
    return list(raised.value.problems)
