"""Submission of a catalog: header, local files, and briefs that name uploads."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from trackfarm import Catalog, CatalogError
from trackfarm.model_sets import DEFAULT_MODEL_SET
from trackfarm.sdk.submission import (
    CatalogBriefs,
    SubmitOptions,
    briefs_of,
    header_of,
    local_files,
)

COVER = {"prompt": "calm", "duration": 30, "task_type": "cover"}


def catalog_of(folder: Path, *sources: str, model_set: str | None = None) -> Catalog:
    rows = [COVER | {"src_audio": source} for source in sources]
    return Catalog.from_rows(rows, name="hotel", folder=folder, model_set=model_set)


def test_header_of_prefers_options_to_the_catalogs_values(tmp_path: Path) -> None:
    catalog = catalog_of(tmp_path, "https://host/a.mp3", model_set="demo")
    header = header_of(catalog, SubmitOptions())
    assert (header.catalog, header.model_set, header.lane) == ("hotel", "demo", "batch")
    deadline = datetime(2030, 1, 1, tzinfo=UTC)
    options = SubmitOptions(name="spa", model_set="tiny", priority=5, deadline=deadline, budget=2)
    header = header_of(catalog, options)
    assert (header.catalog, header.model_set, header.priority) == ("spa", "tiny", 5)
    assert (header.deadline, header.budget) == (deadline, 2)


def test_header_of_without_any_model_set_is_for_the_default_one(tmp_path: Path) -> None:
    assert (
        header_of(catalog_of(tmp_path, "object:a"), SubmitOptions()).model_set == DEFAULT_MODEL_SET
    )


def test_header_of_refuses_invalid_options(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="budget"):
        header_of(catalog_of(tmp_path, "object:a"), SubmitOptions(budget=-1))


def test_local_files_are_listed_once(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_bytes(b"a")
    (tmp_path / "b.mp3").write_bytes(b"b")
    catalog = catalog_of(tmp_path, "b.mp3", "a.mp3", "b.mp3", "https://host/c.mp3", "object:d")
    assert local_files(catalog) == [tmp_path / "a.mp3", tmp_path / "b.mp3"]


def test_local_files_that_are_missing_are_problems(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="no such file"):
        local_files(catalog_of(tmp_path, "a.mp3"))


def test_catalog_briefs_name_uploads_and_can_be_read_again(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_bytes(b"a")
    catalog = catalog_of(tmp_path, "a.mp3", "object:d")
    briefs = CatalogBriefs(catalog, {tmp_path / "a.mp3": f"upload:{'0' * 64}"})
    for _ in range(2):
        assert [brief.src_audio for brief in briefs] == [f"upload:{'0' * 64}", "object:d"]


def test_catalog_briefs_of_a_file_that_was_changed_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "hotel.csv"
    path.write_text("prompt,duration\ncalm,30\n")
    briefs = briefs_of(Catalog.from_file(path))
    path.write_text("prompt,duration\ncalm,30\nloud,2\n")
    assert next(briefs).prompt == "calm"
    with pytest.raises(CatalogError, match="duration"):
        next(briefs)
