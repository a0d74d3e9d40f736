from pathlib import Path

import pytest

from tests.common.catalog.files import briefs, problems, stopped, write
from trackfarm.catalog import open_catalog

HEADER = (
    '{"catalog": "spa", "model_set": "tiny", "defaults": {"audioDuration": 20, "tags": {"a": 1}}}\n'
)


def test_jsonl_has_header_and_defaults(tmp_path: Path) -> None:
    path = write(
        tmp_path, "x.jsonl", HEADER + '{"prompt": "a"}\n\n{"caption": "b", "tags": {"c": "d"}}'
    )
    catalog = open_catalog(path)
    assert (catalog.name, catalog.model_set, catalog.audio_format) == ("spa", "tiny", "mp3")
    assert catalog.defaults["duration"] == 20
    first, second = briefs(path)
    assert (first.duration, first.tags) == (20, {"a": "1"})
    assert second.tags == {"a": "1", "c": "d"}
    assert [row.number for row in catalog.rows()] == [2, 4]


def test_jsonl_without_a_header_is_named_after_its_file(tmp_path: Path) -> None:
    path = write(tmp_path, "x.ndjson", b'\xef\xbb\xbf{"prompt": "a", "duration": 30}\r\n')
    assert open_catalog(path).name == "x"
    assert len(briefs(path)) == 1


def test_jsonl_null_undoes_a_default(tmp_path: Path) -> None:
    head = '{"defaults": {"duration": 30, "bpm": 90, "lyrics": "la"}}\n'
    first, second = briefs(
        write(tmp_path, "x.jsonl", head + '{"prompt": "a"}\n{"prompt":"b","bpm":null,"lyrics":""}')
    )
    assert (first.bpm, first.lyrics) == (90, "la")
    assert (second.bpm, second.lyrics) == (None, "")


@pytest.mark.parametrize(
    ("line", "field", "wrong"),
    [
        ('{"prompt": "a", ', "line", "is not JSON"),
        ("[1, 2]", "line", "is not a brief"),
        ('{"prompt": "a", "prompt": "b", "duration": 30}', "line", "'prompt' is given twice"),
        ('{"prompt": "a", "duration": NaN}', "duration", "nan is not a finite number"),
        ('{"prompt": "a", "duration": true}', "duration", "true is not a number"),
        ('{"prompt": "a\\ud800", "duration": 30}', "prompt", "lone surrogate"),
        ('{"prompt": "a", "duration": 30, "variations": 1.5}', "variations", "not a whole number"),
        ('{"prompt": "a", "duration": ' + "9" * 5000 + "}", "line", ""),
        ("[" * 100_000, "line", ""),
    ],
)
def test_jsonl_wrong_line_is_one_problem(tmp_path: Path, line: str, field: str, wrong: str) -> None:
    good = '{"prompt": "a", "duration": 30}\n'
    (problem,) = problems(write(tmp_path, "x.jsonl", good + line + "\n" + good))
    assert (problem.row, problem.field) == (2, field)
    assert wrong in problem.wrong


def test_jsonl_wrong_header_reports_all_its_problems(tmp_path: Path) -> None:
    head = '{"catalog": "", "defaults": {"bpm": 1000, "promt": 1, "thinking": true}, "brief": []}\n'
    result = stopped(write(tmp_path, "x.jsonl", head + '{"prompt": "a"}\n'))
    fields = {"brief", "catalog", "defaults.bpm", "defaults.promt", "defaults.thinking"}
    assert {problem.field for problem in result} == fields
    assert {problem.row for problem in result} == {1}


@pytest.mark.parametrize("text", ["", "\n \n", HEADER])
def test_jsonl_without_briefs_is_refused(tmp_path: Path, text: str) -> None:
    (problem,) = stopped(write(tmp_path, "x.jsonl", text))
    assert problem.wrong == "has no briefs"
