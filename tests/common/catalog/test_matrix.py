import time
from pathlib import Path

import pytest

from tests.common.catalog.files import briefs, problems, stopped, write
from trackfarm.catalog.matrix import slug

AXES = """
defaults: {duration: 30, bpm: 80, tags: {client: x}}
matrix:
  axes:
    zone:
      - lobby
      - {name: The Spa, duration: 60, prompt: "a spa, warm", tags: {floor: 3}}
    mood: [calm, bright]
  variations: 2
  bpm: 90
"""


def test_matrix_yields_every_combination_with_overrides_labels_and_names(tmp_path: Path) -> None:
    result = briefs(write(tmp_path, "a.yaml", AXES + '  prompt: "{mood} music for {zone}"\n'))
    assert [b.prompt for b in result] == [
        "calm music for lobby",
        "bright music for lobby",
        "calm music for a spa, warm",
        "bright music for a spa, warm",
    ]
    assert [b.duration for b in result] == [30, 30, 60, 60]
    assert {(b.bpm, b.variations) for b in result} == {(90, 2)}
    assert result[0].tags == {"zone": "lobby", "mood": "calm", "client": "x"}
    assert result[3].tags == {"zone": "The Spa", "mood": "bright", "client": "x", "floor": "3"}
    assert [b.name for b in result][2:] == ["the-spa-calm", "the-spa-bright"]


def test_matrix_fills_titles_and_names_with_the_values_names(tmp_path: Path) -> None:
    text = AXES + '  prompt: "{{{zone}}}"\n  title: "{zone}"\n  name: "{mood}"\n'
    last = briefs(write(tmp_path, "a.yaml", text))[3]
    assert (last.prompt, last.title, last.name) == ("{a spa, warm}", "The Spa", "bright")


def test_matrices_may_be_a_list_beside_briefs(tmp_path: Path) -> None:
    text = """
defaults: {duration: 30}
briefs: [{prompt: first}]
matrix:
  - {axes: {a: [x, y]}, prompt: "{a}"}
  - {axes: {b: [1, 2, 3]}, prompt: "number {b}"}
"""
    result = briefs(write(tmp_path, "a.yaml", text))
    assert [b.prompt for b in result] == ["first", "x", "y", "number 1", "number 2", "number 3"]


@pytest.mark.parametrize(
    ("matrix", "row", "field", "wrong"),
    [
        ("prompt: x", 3, "matrix.axes", "is missing"),
        ("zone: [a, b]\n  prompt: x", 3, "matrix.zone", "is not a field of a brief"),
        ("axes: {a: [x]}\n  prompt: '{b}'", 3, "matrix.prompt", "{b} is not an axis"),
        ("axes: {a: [x]}\n  prompt: '{a.__class__}'", 3, "matrix.prompt", "is not an axis"),
        ("axes: {a: [x]}\n  prompt: '{a!r}'", 3, "matrix.prompt", "is not an axis"),
        ("axes: {a: [x]}\n  prompt: '{'", 3, "matrix.prompt", "is not a template"),
        ("axes: {a: [x]}\n  prompt: '{a}'\n  bpm: 1", 5, "matrix.bpm", "1 is too small"),
        ("axes: {a: x}\n  prompt: '{a}'", 3, "matrix.axes.a", "has no list of values"),
        ("axes: {a: []}\n  prompt: '{a}'", 3, "matrix.axes.a", "has no list of values"),
        ("axes: {a: [x, x]}\n  prompt: '{a}'", 3, "matrix.axes.a", "'x' is given twice"),
        ("axes: {bpm: [90]}\n  prompt: x", 3, "matrix.axes.bpm", "is not a name for an axis"),
        ("axes: {a: [{prompt: x}]}\n  prompt: '{a}'", 3, "matrix.axes.a.name", "has no name"),
        (
            "axes:\n    a:\n    - x\n    - {name: y, bpm: 1}\n  prompt: '{a}'",
            6,
            "matrix.axes.a.bpm",
            "1 is too small",
        ),
        (
            "axes: {a: [{name: x, bpm: 90}], b: [{name: y, bpm: 80}]}\n  prompt: '{a}'",
            3,
            "matrix.axes.a and b",
            "both set bpm",
        ),
        ("axes: {a: [x]}\n  axes: {b: [x]}", 4, "YAML", "'axes' is twice"),
    ],
)
def test_matrix_problems_name_field_line_and_remedy(
    tmp_path: Path, matrix: str, row: int, field: str, wrong: str
) -> None:
    text = f"defaults: {{duration: 30}}\nmatrix:\n  {matrix}\n"
    (problem,) = stopped(write(tmp_path, "a.yaml", text))
    assert (problem.row, problem.field) == (row, field)
    assert wrong in problem.wrong


def test_matrix_problems_of_a_combination_are_found(tmp_path: Path) -> None:
    axes = "{a: [x, {name: y, task_type: cover}]}"
    text = f"matrix: {{axes: {axes}, prompt: '{{a}}', duration: 30}}\n"
    (problem,) = problems(write(tmp_path, "a.yaml", text))
    assert (problem.row, problem.field) == (1, "src_audio")


def test_matrix_too_large_is_refused_before_it_is_expanded(tmp_path: Path) -> None:
    values = ", ".join(f"v{i}" for i in range(100))
    axes = ", ".join(f"{axis}: [{values}]" for axis in "abcdef")
    path = write(tmp_path, "a.yaml", f"matrix: {{axes: {{{axes}}}, prompt: x, duration: 30}}\n")
    start = time.process_time()
    (problem,) = stopped(path)
    assert "asks for 1,000,000,000,000 tracks" in problem.wrong
    assert time.process_time() - start < 5


def test_slug_joins_lower_case_words() -> None:
    assert slug("The Spa & Pool ") == "the-spa-pool"
    assert slug("Café") == "café"
