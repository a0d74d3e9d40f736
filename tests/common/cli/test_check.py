"""`check` with real catalog files."""

import json
from pathlib import Path

import pytest

from tests.common.cli.catalog_files import COVER_ROW, DEMO_ROWS
from tests.common.cli.command_line import run

pytestmark = pytest.mark.usefixtures("no_farm")


def test_check_needs_no_farm(catalog: Path) -> None:
    result = run("check", catalog)
    assert result.exit_code == 0
    assert "2 briefs, 2 tracks" in result.stdout
    document = json.loads(run("check", catalog, "--json").stdout)
    assert document == {
        "problem_count": 0,
        "problems": [],
        "notes": [],
        "briefs": 2,
        "tracks": 2,
        "audio_seconds": 50.0,
    }


def test_check_tells_once_what_demo_leaves_out(tmp_path: Path) -> None:
    path = tmp_path / "world.csv"
    path.write_text(DEMO_ROWS)
    result = run("check", path, "--model-set", "demo")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1:] == [
        "demo plays pop for a prompt that names none of its genres: 2 briefs (rows 3, 4)",
        "demo does not sing lyrics: 1 brief (row 3)",
        "demo doubles or halves a tempo outside 69 to 138.75 bpm: 1 brief (row 3)",
    ]
    document = json.loads(run("check", path, "--model-set", "demo", "--json").stdout)
    assert document["notes"] == result.stdout.splitlines()[1:]
    assert json.loads(run("check", path, "--json").stdout)["notes"] == []


def test_check_refuses_what_the_model_set_cannot_make(tmp_path: Path) -> None:
    path = tmp_path / "covers.csv"
    path.write_text(DEMO_ROWS + COVER_ROW)
    result = run("check", path, "--model-set", "demo")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "demo cannot do cover, only repaint, text2music; change the task" in result.stderr
    assert f"{path}:5: task_type" in result.stderr
    assert run("check", path).exit_code == 0, "no model set is named"
    assert run("check", path, "--model-set", "dmeo").exit_code == 2


def test_check_prints_up_to_a_thousand_problems(broken: Path) -> None:
    result = run("check", broken)
    assert (result.exit_code, result.stdout) == (2, "")
    lines = result.stderr.splitlines()
    assert len(lines) == 2, "equal mistakes are one line"
    assert f"{broken}:2: duration: " in lines[0]
    assert lines[0].endswith("(and 999 more rows: 3, 4, 5, ...)")
    assert "1,200 mistakes" in lines[-1]
    assert json.loads(run("check", broken, "--json").stdout)["problem_count"] == 1_200


def test_check_of_an_unreadable_file_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "odd.docx"
    path.write_text("x")
    assert run("check", path).exit_code == 2
    assert run("check", tmp_path / "missing.csv").exit_code == 2
