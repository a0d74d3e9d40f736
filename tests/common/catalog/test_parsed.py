"""Errors that every reader shares."""

from pathlib import Path

from trackfarm.catalog.parsed import MAX_TRACKS, no_briefs, too_many_tracks


def test_no_briefs_names_the_file_and_the_remedy() -> None:
    assert str(no_briefs(Path("a.csv"))) == "a.csv: catalog: has no briefs; write at least one"


def test_too_many_tracks_names_row_number_and_limit() -> None:
    error = too_many_tracks("a.yaml", 3, MAX_TRACKS + 1)
    assert str(error).startswith("a.yaml:3: catalog: asks for 10,000,001 tracks or more")
    assert error.problems[0].remedy == "split the catalog or lower variations"
