"""`trackfarm plan` with a fleet given on the command line, without any farm."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from trackfarm.cli import app
from trackfarm.planning import Plan

TURBO = ("--model-set", "acestep-v15-turbo")


@pytest.fixture(autouse=True)
def away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Provide an environment without a farm, and an empty home."""
    for name in ("TRACKFARM_URL", "TRACKFARM_API_KEY", "TRACKFARM_PRICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRACKFARM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "160")


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    return write_catalog(tmp_path, "calm piano,180,700\nlong drone,400,50\n")


def write_catalog(folder: Path, rows: str, header: str = "prompt,duration,variations") -> Path:
    path = folder / "hotel.csv"
    path.write_text(f"{header}\n{rows}")
    return path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["plan", *map(str, arguments)])


def test_plan_report_has_cost_time_and_uncertainty(catalog: Path) -> None:
    result = run(catalog, *TURBO, "--fleet", "6x RTX 4090 @0.34, 2x A100-80 @1.50")
    assert result.exit_code == 0, result.output
    for words in (
        "750, 40.6 h of audio",
        "6x RTX 4090 @0.34, 2x A100-80 @1.5",
        "GPU hours",
        "at $0.057 a track from a library",
        "vram16     700",
        "vram24      50",
        "starting",
        "idle",
        "cheaper",
        "modelled, not measured",
    ):
        assert words in result.stdout, words


def test_plan_json_is_the_plan(catalog: Path) -> None:
    result = run(catalog, *TURBO, "--fleet", "RTX 4090", "--json")
    plan = Plan.model_validate_json(result.stdout)
    assert plan.tracks == 750
    assert plan.verdict is None
    assert {group["source"] for group in json.loads(result.stdout)["groups"]} == {"prior"}


def test_plan_with_tracks_that_do_not_fit_is_no_success(catalog: Path) -> None:
    result = run(catalog, *TURBO, "--fleet", "4x RTX 4080")
    assert result.exit_code == 1
    assert "50 tracks of 400 s need vram24; the fleet has at most vram16" in result.stdout
    assert "makes all tracks" in result.stdout


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--deadline", "6h"), 0, "met with a probability of 90%"),
        (("--deadline", "5m"), 1, "not met"),
        (("--budget", "$20"), 0, "met with a probability of 90%"),
        (("--budget", "0.05"), 1, "not met"),
        (("--deadline", "6h", "--budget", "20"), 0, "cheapest fleet that meets the limits: "),
        (("--deadline", "20m"), 1, "fastest fleet that meets the limits: "),
    ],
)
def test_plan_answers_limits_with_yes_or_no(
    catalog: Path, options: tuple[str, ...], code: int, words: str
) -> None:
    result = run(catalog, *TURBO, "--fleet", "RTX 4090", *options)
    assert result.exit_code == code, result.output
    assert ("\nyes" if code == 0 else "\nno") in result.stdout
    assert words in result.stdout


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--fleet", "RTX 4900"), "did you mean RTX 4090"),
        (("--fleet", ""), "the fleet is empty"),
        (("--fleet", "H200", "--deadline", "soon"), "is not a deadline"),
        (("--fleet", "H200", "--budget", "much"), "is not a budget"),
        (("--fleet", "H200", "--model-set", "nope"), "known are: tiny"),
    ],
)
def test_plan_explains_bad_input(catalog: Path, options: tuple[str, ...], complaint: str) -> None:
    result = run(catalog, *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert complaint in result.stderr


def test_plan_of_a_wrong_catalog_prints_the_problems_of_check(tmp_path: Path) -> None:
    broken = write_catalog(tmp_path, "piano,5,1\nharp,30,0\n")
    result = run(broken, "--fleet", "cpu")
    assert (result.exit_code, result.stdout) == (2, "")
    checked = CliRunner().invoke(app, ["check", str(broken)])
    assert result.stderr == checked.stderr + "nothing was planned\n"


def test_plan_refuses_tracks_that_the_model_set_cannot_make(tmp_path: Path) -> None:
    file = write_catalog(tmp_path, "piano,30,50\n", header="prompt,duration,inference_steps")
    result = run(file, *TURBO, "--fleet", "H200")
    assert result.exit_code == 2
    assert f"{file}:2: inference_steps: acestep-v15-turbo takes at most 20" in result.stderr


def test_plan_for_demo_says_what_it_is_and_what_it_leaves_out(tmp_path: Path) -> None:
    file = write_catalog(tmp_path, "calm jazz,60,1\ngamelan at dawn,60,1\n")
    result = run(file, "--model-set", "demo", "--fleet", "2x cpu", "--json")
    assert result.exit_code == 0, result.output
    plan = Plan.model_validate_json(result.stdout)
    assert (
        "demo plays pop for a prompt that names none of its genres: 1 brief (row 3)" in plan.notes
    )
    report = run(file, "--model-set", "demo", "--fleet", "2x cpu").stdout
    assert "1 brief (row 3)" in report
    assert "`demo` is a 5 MB toy" in report
    assert "demo" not in "".join(
        Plan.model_validate_json(run(file, *TURBO, "--fleet", "H200", "--json").stdout).notes
    )


def test_plan_uses_own_prices(
    catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prices = tmp_path / "mine.toml"
    prices.write_text("bought_track = 1\n[cards]\nH200 = { price = 99 }\n")
    monkeypatch.setenv("TRACKFARM_PRICES", str(prices))
    result = run(catalog, *TURBO, "--fleet", "H200")
    assert "1x H200 @99" in result.stdout
    assert "$750.00 at $1 a track" in result.stdout
    prices.write_text("lunch = 3\n")
    assert run(catalog, *TURBO, "--fleet", "H200").exit_code == 2


def test_plan_without_a_fleet_and_a_farm_says_how_to_continue(catalog: Path) -> None:
    result = run(catalog)
    assert result.exit_code == 3
    assert "no farm found" in result.stderr


def test_plan_warns_of_noise(tmp_path: Path) -> None:
    file = write_catalog(tmp_path, "calm piano,30,10\n")
    result = run(file, "--model-set", "tiny", "--fleet", "2x cpu")
    assert result.exit_code == 0
    assert "noise" in result.stdout
    assert "these are your own machines" in result.stdout


def test_plan_of_fifteen_thousand_rows_takes_less_than_five_cpu_seconds(tmp_path: Path) -> None:
    rows = "".join(f"calm piano {i},{10 + i % 590}.5,1\n" for i in range(15_000))
    file = write_catalog(tmp_path, rows)
    command = [sys.executable, "-m", "trackfarm.cli", "plan", str(file), *TURBO]
    before = _childrens_cpu_seconds()
    done = subprocess.run(
        [*command, "--fleet", "6x RTX 4090, 2x A100-80", "--deadline", "6h", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert _childrens_cpu_seconds() - before < 5
    assert json.loads(done.stdout)["tracks"] == 15_000


def _childrens_cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
