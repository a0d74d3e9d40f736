from pathlib import Path

import pytest

from tests.common.catalog.files import briefs, problems, stopped, write
from trackfarm.catalog import check_catalog, open_catalog


def test_csv_cells_may_have_quotes_separators_and_line_breaks(tmp_path: Path) -> None:
    text = 'prompt,lyrics,duration\n"jazz, ""blue""","[Verse]\r\nla\r\n[Chorus]\r\nlo",30\nb,,12\n'
    first, second = briefs(write(tmp_path, "a.csv", text))
    assert (first.prompt, first.lyrics) == ('jazz, "blue"', "[Verse]\nla\n[Chorus]\nlo")
    assert (second.prompt, second.duration) == ("b", 12)


def test_csv_row_is_the_line_where_the_record_starts(tmp_path: Path) -> None:
    text = 'prompt,duration,lyrics\na,30,"1\n2\n3"\n\nb,5,\n"c\nd",6,\n'
    path = write(tmp_path, "a.csv", text)
    assert [row.number for row in open_catalog(path).rows()] == [2, 6, 7]
    assert [str(p).removeprefix(str(path)) for p in problems(path)] == [
        ":6: duration: '5' is too small; write a number from 10 to 600",
        ":7: duration: '6' is too small; write a number from 10 to 600",
    ]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("separator", [b",", b";", b"\t"])
def test_csv_byte_order_mark_line_ends_and_separators_are_recognised(
    tmp_path: Path, mark: bytes, end: bytes, separator: bytes
) -> None:
    rows = [[b"prompt", b"Duration"], [b"caf\xc3\xa9", b"30"], [b"b", b"40"]]
    path = write(tmp_path, "a.csv", mark + end.join(separator.join(row) for row in rows))
    assert [(b.prompt, b.duration) for b in briefs(path)] == [("café", 30), ("b", 40)]


def test_csv_comma_in_a_heading_of_semicolons_is_not_a_separator(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "prompt;duration;title\na, b;30;c, d\n")
    (brief,) = briefs(path)
    assert (brief.prompt, brief.title) == ("a, b", "c, d")


def test_csv_labels_in_columns_and_in_a_cell_are_joined(tmp_path: Path) -> None:
    text = (
        "prompt,duration,tag.zone,Tags.mood,tags\na,30,lobby,,\nb,30,spa,calm,floor=3;zone=roof\n"
    )
    first, second = briefs(write(tmp_path, "a.csv", text))
    assert first.tags == {"zone": "lobby"}
    assert second.tags == {"zone": "roof", "mood": "calm", "floor": "3"}


def test_csv_empty_cells_short_rows_and_empty_rows_are_not_given(tmp_path: Path) -> None:
    text = "prompt,duration,bpm,,\na,30\nb,30, ,,\n,,,,\n"
    assert [b.bpm for b in briefs(write(tmp_path, "a.csv", text))] == [None, None]


def test_csv_value_without_a_heading_is_a_problem(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "prompt,duration,\nslow, calm,30\na,30,\nb,30,,x\n")
    result = problems(path)
    assert [(p.row, p.field) for p in result] == [(2, "row"), (4, "row")]
    assert "'30' is in a column without a name" in str(result[0])


def test_csv_unknown_and_double_columns_are_reported_once(tmp_path: Path) -> None:
    text = "prompt,duration,promptt,caption,colour\n" + "a,30,1,2,3\n" * 50
    path = write(tmp_path, "a.csv", text)
    check = check_catalog(path)
    assert (check.problem_count, check.brief_count) == (3, 50)
    assert [p.field for p in check.problems] == ["promptt", "caption", "colour"]
    assert check.problems[0].remedy == "did you mean prompt?"


def test_csv_refused_columns_are_checked_row_by_row(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "prompt,duration,thinking\na,30,false\nb,30,true\nc,30,\n")
    (problem,) = problems(path)
    assert (problem.row, problem.field) == (3, "thinking")


@pytest.mark.parametrize("text", ["", "\n", "\n\n", "prompt,duration\n", "prompt,duration\n\n,\n"])
def test_csv_without_briefs_is_refused(tmp_path: Path, text: str) -> None:
    (problem,) = stopped(write(tmp_path, "a.csv", text))
    assert "no" in problem.wrong


def test_csv_without_its_header_row_is_refused(tmp_path: Path) -> None:
    (problem,) = stopped(write(tmp_path, "a.csv", "calm piano,30\nfast piano,30\n"))
    assert problem.wrong == "has no field of a brief"


def test_csv_missing_column_is_reported_once(tmp_path: Path) -> None:
    (problem,) = stopped(write(tmp_path, "a.csv", "prompt,bpm\n" + "a,90\n" * 100))
    assert (problem.row, problem.field, problem.wrong) == (1, "duration", "has no column")


def test_csv_unclosed_quote_stops_and_keeps_earlier_problems(tmp_path: Path) -> None:
    text = 'prompt,duration\na,5\n"b,30\nc,30\n"d",30\ne,30\n'
    first, last = stopped(write(tmp_path, "a.csv", text))
    assert (first.row, first.field) == (2, "duration")
    assert (last.row, last.field) == (3, "row")
    assert "quote" in last.wrong


def test_csv_quote_wrong_in_one_row_is_only_its_problem(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'prompt,duration\n"a"b,30\nc,30\n')
    check = check_catalog(path)
    assert (check.problem_count, check.brief_count, check.problems[0].row) == (1, 1, 2)
