"""Notes on fields of briefs that the model set `demo` leaves out."""

from pathlib import Path
from typing import Any

import pytest

from trackfarm.catalog import Brief, open_catalog
from trackfarm.demo_words import named_genres
from trackfarm.planning import BriefNotes

EXAMPLES = Path(__file__).parents[3] / "examples" / "catalogs"


def brief(**fields: Any) -> Brief:
    return Brief.model_validate({"prompt": "smooth jazz", "duration": 30} | fields)


def notes_on(*briefs: Brief, model_set: str = "demo") -> list[str]:
    notes = BriefNotes(model_set)
    for row, one in enumerate(briefs, start=2):
        notes.add(row, one)
    return notes.texts()


@pytest.mark.parametrize(
    ("fields", "note"),
    [
        ({"prompt": "gamelan at dawn"}, "plays pop for a prompt that names none of its genres"),
        (
            {"prompt": "jazz, then techno"},
            "plays one genre, or a mixture, for a prompt that names several",
        ),
        ({"lyrics": "la la"}, "does not sing lyrics"),
        ({"bpm": 68}, "doubles or halves a tempo outside 69 to 138.75 bpm"),
        ({"bpm": 139}, "doubles or halves a tempo outside 69 to 138.75 bpm"),
        ({"time_signature": "3/4"}, "plays 4/4 in place of another time signature"),
        ({"reference_audio": "https://example.org/a.mp3"}, "does not hear reference audio"),
    ],
)
def test_brief_notes_name_the_limit_and_the_row(fields: dict[str, Any], note: str) -> None:
    assert notes_on(brief(), brief(**fields)) == [f"demo {note}: 1 brief (row 3)"]


def test_brief_notes_are_empty_for_what_demo_plays_and_for_other_model_sets() -> None:
    assert notes_on(brief(bpm=69, key_scale="F major", time_signature="4/4"), brief(bpm=138)) == []
    assert notes_on(brief(prompt="gamelan", lyrics="la", bpm=300), model_set="tiny") == []
    assert notes_on(brief(prompt="gamelan"), model_set="acestep-v15-turbo") == []


def test_brief_notes_count_all_briefs_and_name_the_first_rows() -> None:
    songs = [brief(lyrics="la la")] * 1_200
    assert notes_on(*songs[:3]) == ["demo does not sing lyrics: 3 briefs (rows 2, 3, 4)"]
    assert notes_on(*songs) == ["demo does not sing lyrics: 1,200 briefs (rows 2, 3, 4, ...)"]


def test_brief_notes_on_a_matrix_name_no_row_since_all_have_the_same() -> None:
    notes = BriefNotes("demo")
    for _ in range(24):
        notes.add(5, brief(lyrics="la la"))
    assert notes.texts() == ["demo does not sing lyrics: 24 briefs"]


@pytest.mark.parametrize("name", ["hotel.yaml", "spa.jsonl"])
def test_brief_notes_on_the_example_catalogs_are_empty(name: str) -> None:
    catalog = open_catalog(EXAMPLES / name)
    assert catalog.model_set == "demo"
    briefs = [row.outcome for row in catalog.rows() if isinstance(row.outcome, Brief)]
    assert notes_on(*briefs) == []
    assert all(one.duration >= 20 and one.bpm for one in briefs)
    assert len({named_genres(one.prompt) for one in briefs}) > 1
