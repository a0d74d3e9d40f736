from pathlib import Path

import pytest

from tests.common.catalog.files import briefs, problems, stopped, write
from trackfarm.catalog import open_catalog
from trackfarm.catalog.errors import grouped
from trackfarm.catalog.yaml_lines import DEEPEST, MOST_BYTES


def test_yaml_has_header_defaults_and_briefs(tmp_path: Path) -> None:
    text = """
catalog: hotel
model_set: tiny
defaults: {duration: 30, audio_format: flac, tags: {client: x}}
briefs:
  - {prompt: a}

  - prompt: b
    audioFormat: wav
    tags: {zone: spa}
"""
    path = write(tmp_path, "a.yaml", text)
    catalog = open_catalog(path)
    assert (catalog.name, catalog.model_set, catalog.audio_format) == ("hotel", "tiny", "flac")
    one, two = briefs(path)
    assert (one.audio_format, two.audio_format) == ("flac", "wav")
    assert two.tags == {"client": "x", "zone": "spa"}
    assert [row.number for row in catalog.rows()] == [6, 8]
    assert list(catalog.rows()) == list(catalog.rows())


def test_yaml_no_is_norwegian_and_a_date_is_text(tmp_path: Path) -> None:
    text = "briefs:\n- {prompt: a, duration: 30, vocal_language: no, title: 2026-11-21}\n"
    (brief,) = briefs(write(tmp_path, "a.yml", text))
    assert (brief.vocal_language, brief.title) == ("no", "2026-11-21")


def test_yaml_anchors_and_merges_work(tmp_path: Path) -> None:
    text = "briefs:\n- &a {prompt: a, duration: 30}\n- {<<: *a, bpm: 90}\n"
    one, two = briefs(write(tmp_path, "a.yaml", text))
    assert (one.bpm, two.bpm, two.prompt) == (None, 90, "a")


def test_yaml_problems_name_the_line_of_the_item(tmp_path: Path) -> None:
    text = "briefs:\n- {prompt: a, duration: 30}\n- prompt: b\n  duration: 5\n- just text\n"
    all_problems = problems(write(tmp_path, "a.yaml", text))
    assert [(p.row, p.field) for p in all_problems] == [(3, "duration"), (5, "brief")]


def test_yaml_key_given_twice_is_a_problem(tmp_path: Path) -> None:
    text = "briefs:\n- {prompt: a, duration: 30}\n- prompt: b\n  duration: 30\n  prompt: c\n"
    (problem,) = problems(write(tmp_path, "a.yaml", text))
    assert "'prompt' is twice" in str(problem)


def test_yaml_problems_of_defaults_name_line_and_section(tmp_path: Path) -> None:
    text = (
        "catalog: x\ndefaults:\n  duration: 30\n  tempo: 90\n  BPM: 1000\nbriefs: [{prompt: a}]\n"
    )
    all_problems = stopped(write(tmp_path, "a.yaml", text))
    assert [(p.row, p.field) for p in all_problems] == [(4, "defaults.tempo"), (5, "defaults.bpm")]


def test_yaml_problems_of_header_matrix_and_briefs_come_together(tmp_path: Path) -> None:
    text = (
        "defaults: {duration: 5, bpm: 90}\n"
        "matrix:\n  prompt: '{zone} by {night}'\n  axes: {zone: [spa]}\n"
        "briefs:\n- {prompt: a}\n- {prompt: b, bpm: 1000}\n- just text\n"
    )
    all_problems = stopped(write(tmp_path, "a.yaml", text))
    rows = [(p.row, p.field) for p in all_problems]
    assert rows[0] == (1, "defaults.duration")
    assert rows[-2:] == [(7, "bpm"), (8, "brief")]
    assert any(2 <= row <= 4 for row, _ in rows), "the matrix's own mistake"
    assert (6, "duration") not in rows, "nothing is wrong there but the default"


@pytest.mark.parametrize(
    ("text", "row", "wrong"),
    [
        ("briefs: [\n  {prompt: a}\n", 3, "expected"),
        ("a: b\n\tc: d\n", 2, ""),
        ("- {prompt: a}\n", 1, "is not a catalog"),
        ("just text", 1, "is not a catalog"),
        ("briefs: 5\n", 1, "is not a list"),
        ("brief: []\n", 1, "is not a part of a catalog"),
        ("briefs: []\nbriefs: []\n", 1, "has a section twice"),
        ("defaults: 5\nbriefs: []\n", 1, "is not a set of named fields"),
        ("catalog: [a]\nbriefs: []\n", 1, "is not a name"),
        ("a: b\n---\nc: d\n", 2, "but found another document"),
        ("catalog: !!python/object:os.system []\n", 1, "python/object"),
        ("", 0, "has no briefs"),
        ("# nothing\n", 0, "has no briefs"),
        ("briefs: []\n", 0, "has no briefs"),
    ],
)
def test_yaml_that_is_no_catalog_is_refused(
    tmp_path: Path, text: str, row: int, wrong: str
) -> None:
    all_problems = stopped(write(tmp_path, "a.yaml", text))
    assert all_problems[0].row == row
    assert wrong in all_problems[0].wrong


@pytest.mark.parametrize("depth", [DEEPEST, 999, 1_000, 1_100, 50_000])
@pytest.mark.parametrize("closed", [True, False])
def test_yaml_flow_that_is_nested_too_deeply_is_refused(
    tmp_path: Path, depth: int, closed: bool
) -> None:
    """Our own limit applies below 1,000 levels, libyaml's (PyYAML 6.0.4) above, if it has one."""
    text = "briefs: " + "[" * depth + "]" * depth * closed + "\n"
    (problem,) = stopped(write(tmp_path, "a.yaml", text))
    assert (problem.row, problem.wrong) == (1, "is nested too deeply")


@pytest.mark.parametrize("depth", [DEEPEST, 999, 1_000, 1_100])
def test_yaml_blocks_that_are_nested_too_deeply_are_refused(tmp_path: Path, depth: int) -> None:
    text = "".join(" " * level + "briefs:\n" for level in range(depth + 1))
    (problem,) = stopped(write(tmp_path, "a.yaml", text))
    assert problem.wrong == "is nested too deeply"


def test_yaml_nested_less_deeply_is_read(tmp_path: Path) -> None:
    depth = DEEPEST - 3  # the document, the section and the item count as levels
    text = "briefs:\n- " + "[" * depth + "]" * depth + "\n"
    (problem,) = problems(write(tmp_path, "a.yaml", text))
    assert "nested" not in problem.wrong


@pytest.mark.parametrize(
    ("key", "guess"),
    [
        ("brief", "did you mean briefs? "),
        ("Matrices", "did you mean matrix? "),
        ("name", "did you mean catalog? "),
        ("bpm", "it is a field of a brief, to be written below defaults; "),
        ("zzz", ""),
    ],
)
def test_yaml_unknown_key_names_the_known_ones(tmp_path: Path, key: str, guess: str) -> None:
    (problem,) = stopped(
        write(tmp_path, "a.yaml", f"{key}: 90\nbriefs: [{{prompt: a, duration: 10}}]\n")
    )
    all_of_them = "a catalog has catalog, model_set, defaults, briefs and matrix"
    assert problem.remedy == guess + all_of_them


def test_yaml_equal_problems_share_a_line(tmp_path: Path) -> None:
    matrix = "matrix:\n  prompt: '{zone}'\n  duration: 10\n  src_audio: gone.wav\n"
    axes = f"  axes: {{zone: {[f'z{n}' for n in range(30)]}}}\n"
    (line,) = grouped(problems(write(tmp_path, "a.yaml", matrix + axes)))
    assert line.endswith("(for 30 briefs)")
    rows = "".join("- {prompt: a, duration: 10, tempo: 9}\n" for _ in range(30))
    path = write(tmp_path, "b.yaml", f"briefs:\n- {{prompt: a, duration: 10, bpm: 1}}\n{rows}")
    first, second = grouped(problems(path))
    assert first.startswith(f"{path}:2: bpm: 1 is too small;")
    assert second.startswith(f"{path}:3: tempo: is not a field of a brief;")
    assert second.endswith("(and 29 more rows: 4, 5, 6, ...)")
    two = write(tmp_path, "c.yaml", f"briefs:\n{rows[: len(rows) // 15]}")
    assert grouped(problems(two))[0].endswith("(and 1 more row: 3)")


def test_yaml_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    with path.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    (problem,) = stopped(path)
    assert ".jsonl" in problem.remedy
