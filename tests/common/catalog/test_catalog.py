import itertools
import re
import time
import tracemalloc
from pathlib import Path

import pytest

from tests.common.catalog.files import problems, stopped, write
from trackfarm.catalog import Brief, CatalogError, check_catalog, open_catalog
from trackfarm.catalog.catalog import MAX_PROBLEMS

EXAMPLES = Path(__file__).parents[3] / "examples" / "catalogs"
MISTAKES = [
    "prompt", "duration", "duration", "bpm", "bpm", "key_scale", "time_signature",
    "vocal_language", "audio_format", "task_type", "src_audio", "variations", "name", "thinking",
    "duration",
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "briefs", "tracks", "seconds"),
    [("hotel.yaml", 24, 24, 528), ("shop.csv", 4, 7, 255), ("spa.jsonl", 3, 4, 120)],
)
def test_catalog_examples_are_valid(name: str, briefs: int, tracks: int, seconds: float) -> None:
    check = check_catalog(EXAMPLES / name)
    assert check.ok
    assert (check.brief_count, check.track_count, check.audio_seconds) == (briefs, tracks, seconds)


def test_catalog_of_the_demo_is_quick_and_varied() -> None:
    catalog = open_catalog(EXAMPLES / "hotel.yaml")
    briefs = [row.outcome for row in catalog.rows() if isinstance(row.outcome, Brief)]
    assert catalog.model_set == "demo"
    assert all(20 <= brief.duration <= 30 for brief in briefs)
    assert (
        len({brief.canonical() for brief in briefs}) == len({brief.name for brief in briefs}) == 24
    )


def test_catalog_with_fifteen_mistakes_has_fifteen_problems() -> None:
    path = EXAMPLES / "mistakes.csv"
    result = problems(path)
    assert [(p.row, p.field) for p in result] == list(enumerate(MISTAKES, start=2))
    assert len({str(p) for p in result}) == 15
    for problem in result:
        form = rf"{re.escape(str(path))}:{problem.row}: {problem.field}: .+; .+"
        assert re.fullmatch(form, str(problem))


def test_catalog_refuses_a_cover_of_two_sources_in_its_row(tmp_path: Path) -> None:
    codes = "<|audio_code_1|>" * 50
    head = "prompt,duration,task_type,src_audio,audio_codes\n"
    rows = f"a,10,cover,https://example.org/a.wav,\nb,10,cover,https://example.org/a.wav,{codes}\n"
    (problem,) = problems(write(tmp_path, "covers.csv", head + rows))
    assert (problem.row, problem.field) == (3, "audio_code_string")
    assert problem.wrong == "is given together with src_audio: a cover follows one or the other"
    assert problem.remedy == "remove one of the two"


def test_check_keeps_the_first_thousand_problems_and_counts_all(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "prompt,duration,bpm\n" + "a,5,5\n" * 1500 + "a,30,90\n")
    check = check_catalog(path)
    assert not check.ok
    assert len(check.problems) == MAX_PROBLEMS
    assert (check.problem_count, check.brief_count) == (3000, 1)


def test_open_catalog_refuses_a_missing_file_a_folder_and_an_unknown_suffix(tmp_path: Path) -> None:
    (missing,) = stopped(tmp_path / "gone.csv")
    assert missing.wrong == "cannot be read: no such file or directory"
    folder = tmp_path / "folder.yaml"
    folder.mkdir()
    assert "cannot be read" in stopped(folder)[0].wrong
    (unknown,) = stopped(write(tmp_path, "a.xlsx", "x"))
    assert (unknown.row, unknown.remedy) == (0, "use .csv, .jsonl or .yaml")


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.yaml"])
def test_catalog_bytes_that_are_not_utf8_have_a_place(tmp_path: Path, name: str) -> None:
    content = b"prompt,duration\n" + (b"caf\xc3\xa9" * 500 + b",30\n") * 700 + b"caf\xe9,30\n"
    problem = stopped(write(tmp_path, name, content))[-1]
    assert problem.wrong == f"byte {len(content) - 5} is not UTF-8"
    assert problem.row == 702


def test_catalog_that_ends_in_half_a_character_is_refused(tmp_path: Path) -> None:
    (problem,) = stopped(write(tmp_path, "a.yaml", b"a: caf\xc3"))
    assert (problem.row, problem.wrong) == (1, "byte 6 is not UTF-8")


def test_catalog_in_utf16_is_recognised(tmp_path: Path) -> None:
    (problem,) = stopped(write(tmp_path, "a.csv", "prompt,duration\na,30\n".encode("utf-16")))
    assert (problem.wrong, problem.remedy) == ("is UTF-16, not UTF-8", "save the file as UTF-8")


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_catalog_line_without_end_is_refused(tmp_path: Path, name: str) -> None:
    result = stopped(write(tmp_path, name, "x" * 3_000_000))
    assert "longer than 1,048,576 characters" in result[-1].wrong


def test_catalog_of_more_than_ten_million_tracks_is_refused(tmp_path: Path) -> None:
    rows = "a,10,1000\n" * 10_001
    (problem,) = stopped(write(tmp_path, "a.csv", "prompt,duration,variations\n" + rows))
    assert problem.row == 10_002
    assert "asks for 10,001,000 tracks" in problem.wrong


def test_check_of_fifteen_thousand_rows_is_quick(tmp_path: Path) -> None:
    rows = "".join(
        f'"jazz, take {i}","[Verse]\nla {i}",{10 + i % 590},{60 + i % 90},C# minor,en,lobby\n'
        for i in range(15_000)
    )
    head = "prompt,lyrics,duration,bpm,key_scale,vocal_language,tags.zone\n"
    path = write(tmp_path, "a.csv", head + rows)
    start = time.process_time()
    assert check_catalog(path).track_count == 15_000
    assert time.process_time() - start < 1.5


def test_check_needs_constant_memory(tmp_path: Path) -> None:
    lines = "".join(f"piano number {i},30\n" for i in range(25_000))
    rows = open_catalog(write(tmp_path, "a.csv", "prompt,duration\n" + lines)).rows()
    assert sum(1 for _ in itertools.islice(rows, 5_000)) == 5_000
    tracemalloc.start()
    try:
        assert sum(1 for _ in rows) == 20_000  # a list of them takes 160 kB or more
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_check_counts_the_problems_before_a_file_breaks_off(tmp_path: Path) -> None:
    file = tmp_path / "cut.jsonl"
    file.write_bytes(b'{"prompt": "a", "duration": 1}\n' * 1_500 + b'{"prompt": "\xff"}\n')
    with pytest.raises(CatalogError) as raised:
        check_catalog(file)
    assert raised.value.count > len(raised.value.problems)
    assert len(raised.value.problems) <= 1_001
