"""Catalogs from rows and data frames: the rules and messages of files apply."""

from pathlib import Path

import pandas
import pytest

from trackfarm.catalog import Brief, Catalog, CatalogError, open_catalog

ROWS = [
    {"prompt": "calm piano", "duration": 30, "bpm": 90.0, "tags.zone": "lobby", "lyrics": None},
    {"caption": "harp", "audio_duration": "45", "bpm": float("nan"), "tags": {"mood": "soft"}},
]


def briefs(catalog: Catalog) -> list[Brief]:
    outcomes = [row.outcome for row in catalog.rows()]
    assert all(isinstance(each, Brief) for each in outcomes), outcomes
    return [each for each in outcomes if isinstance(each, Brief)]


def test_rows_equal_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "hotel.csv"
    path.write_text(
        "prompt,duration,bpm,tags.zone,tags.mood\ncalm piano,30,90,lobby,\nharp,45,,,soft\n"
    )
    from_rows = Catalog.from_rows(ROWS, name="hotel", defaults={"audio_format": "wav"})
    assert from_rows.name == "hotel"
    wav = [brief.model_copy(update={"audio_format": "wav"}) for brief in briefs(open_catalog(path))]
    assert [b.canonical() for b in briefs(from_rows)] == [b.canonical() for b in wav]
    assert [b.tags for b in briefs(from_rows)] == [{"zone": "lobby"}, {"mood": "soft"}]


def test_frame_rows_drop_missing_values() -> None:
    frame = pandas.DataFrame(
        {
            "prompt": ["calm", "harp", "drums"],
            "duration": pandas.array([30, 45, 60]),
            "bpm": pandas.array([90, None, 120], dtype="Int64"),
            "key_scale": ["A minor", None, float("nan")],
            "variations": [1, 2, 3],
        }
    )
    result = briefs(Catalog.from_frame(frame, name="frame"))
    assert [(b.duration, b.bpm, b.variations) for b in result] == [
        (30, 90, 1),
        (45, None, 2),
        (60, 120, 3),
    ]
    assert [b.key_scale for b in result] == ["A minor", None, None]


def test_rows_problems_name_row_field_and_remedy() -> None:
    rows = [ROWS[0], {"prompt": "x", "duration": 5, "tempo": 9}, {"prompt": "", "duration": 30}]
    check = Catalog.from_rows(rows, name="hotel").check()
    assert [(p.row, p.field) for p in check.problems] == [
        (2, "duration"),
        (2, "tempo"),
        (3, "prompt"),
    ]
    assert str(check.problems[0]).startswith("hotel:2: duration: 5 is too small; write ")
    with pytest.raises(CatalogError, match="hotel:3: prompt"):
        check.require()


def test_rows_without_briefs_or_with_a_wrong_header_are_refused() -> None:
    with pytest.raises(CatalogError, match="has no briefs"):
        Catalog.from_rows([], name="empty")
    with pytest.raises(CatalogError, match=r"defaults\.bpm"):
        Catalog.from_rows(ROWS, name="hotel", defaults={"bpm": 9000})


def test_rows_look_for_sources_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "song.flac").write_bytes(b"music")
    row = {"prompt": "a", "duration": 30, "task_type": "cover", "src_audio": "song.flac"}
    assert Catalog.from_rows([row], name="covers", folder=tmp_path).check().ok
    (problem,) = Catalog.from_rows([row], name="covers").check().problems
    assert "no such file" in problem.wrong
