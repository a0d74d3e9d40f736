"""Headers of catalogs, and rows with the header's defaults."""

import pytest

from trackfarm.catalog import Brief
from trackfarm.catalog.header import part_problems, read_header, row_of, with_defaults


def test_read_header_renames_the_fields_of_its_defaults() -> None:
    header = read_header(
        {"catalog": " Hotel ", "model_set": "tiny", "defaults": {"caption": "calm", "BPM": 90}},
        "file",
    )
    assert (header.name, header.model_set, header.problems) == ("Hotel", "tiny", ())
    assert header.defaults == {"prompt": "calm", "bpm": 90}


def test_read_header_without_a_name_takes_the_files() -> None:
    assert read_header({}, "hotel").name == "hotel"


def test_read_header_keeps_the_valid_defaults_beside_problems() -> None:
    header = read_header({"defaults": {"bpm": 9_999, "prompt": "calm"}}, "hotel")
    assert [problem.field for problem in header.problems] == ["defaults.bpm"]
    assert header.defaults == {"prompt": "calm"}


@pytest.mark.parametrize(
    ("key", "remedy"),
    [
        ("modelset", "did you mean model_set? a catalog has catalog, model_set and defaults"),
        ("title", "did you mean catalog? a catalog has"),
        ("bpm", "it is a field of a brief, to be written below defaults; a catalog has"),
        ("zzz", "a catalog has catalog"),
    ],
)
def test_read_header_explains_an_unknown_key(key: str, remedy: str) -> None:
    (problem,) = read_header({key: "x"}, "hotel").problems
    assert (problem.field, problem.wrong) == (key, "is not a part of a catalog")
    assert problem.remedy.startswith(remedy)


@pytest.mark.parametrize("name", ["", "a\x07", 7, "x" * 201])
def test_read_header_refuses_a_wrong_name(name: object) -> None:
    (problem,) = read_header({"catalog": name}, "hotel").problems
    assert "is not a name" in problem.wrong


def test_with_defaults_prefers_own_fields_and_joins_labels() -> None:
    defaults = {"prompt": "calm", "tags": {"zone": "lobby", "mood": "calm"}}
    own = {"prompt": "loud", "tags": "mood=wild"}
    assert with_defaults(defaults, own) == {
        "prompt": "loud",
        "tags": {"zone": "lobby", "mood": "wild"},
    }


def test_row_of_has_the_brief_or_its_located_problems() -> None:
    number, brief = row_of("a.csv", 4, {"prompt": "calm", "duration": 30})
    assert (number, isinstance(brief, Brief)) == (4, True)
    _, problems = row_of("a.csv", 5, {"prompt": "calm"})
    assert [str(problem)[:20] for problem in problems] == ["a.csv:5: duration: i"]


def test_part_problems_ask_for_nothing_that_the_rest_may_give() -> None:
    assert part_problems({"task_type": "cover"}) == []
    assert [problem.field for problem in part_problems({"bpm": "x", "key": "Z"})] == [
        "bpm",
        "key_scale",
    ]
