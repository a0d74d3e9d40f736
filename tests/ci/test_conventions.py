"""Checks of the conventions: a clean tree passes, and each planted fault is reported."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci" / "conventions.py"
COMMON = "common/trackfarm"
SCHEDULER = "scheduler/trackfarm_scheduler"
# Holds what comes closest to a fault of each rule and is none.
CLEAN_TREE = {
    f"{COMMON}/__init__.py": "from trackfarm.tiers import Tier\n",
    f"{COMMON}/tiers.py": "class Tier:\n    '''A class of VRAM.'''\n" + "\n" * 298,
    f"{COMMON}/cost.py": "from trackfarm import tiers\n\n\ndef dashboard() -> None: ...\n",
    f"{COMMON}/__main__.py": "import trackfarm.cost\nCHOICES = 'Select one from the list '\n",
    f"{SCHEDULER}/db/jobs.py": "from sqlmodel import select\nQUERY = 'DELETE FROM jobs'\n",
    f"{SCHEDULER}/views.py": "from sqlalchemy.exc import DataError\nfrom sqlmodel import Session\n",
    f"{SCHEDULER}/migrations/versions/0001_schema.py": "import alembic\n" * 301,
    "tests/common/test_tiers_sizes.py": "from trackfarm.tiers import Tier\n",
    "tests/common/test_main.py": "def test_main_stays_what_it_was() -> None: ...\n",
    "tests/common/cost/test_prior.py": "",
    "tests/scheduler/test_anything.py": "from trackfarm_scheduler.db import jobs\n",
    "tests/scheduler/test_views.py": "import sqlalchemy\n",
}

FAULTS = [
    pytest.param(
        {f"{COMMON}/tiers.py": "\n" * 301},
        f"{COMMON}/tiers.py:300: file-length: 301 lines are more than 300",
        id="file-length",
    ),
    pytest.param(
        {"tests/common/test_cost.py": "\n" * 301},
        "tests/common/test_cost.py:300: file-length: 301 lines are more than 300",
        id="file-length of a test",
    ),
    pytest.param(
        {f"{COMMON}/cost.py": "'''What a track costs.'''\n"},
        f"{COMMON}/cost.py:1: docstring-words: the docstring says 'What': name the thing",
        id="docstring-words of a module",
    ),
    pytest.param(
        {
            f"{COMMON}/cost.py": "class Cost:\n    async def pay(self):\n        'All but for one.'\n"
        },
        f"{COMMON}/cost.py:3: docstring-words: the docstring says 'but for': name the thing",
        id="docstring-words of a method",
    ),
    pytest.param(
        {".ci/audit.py": "'''Tells somebody.'''\n"},
        ".ci/audit.py:1: docstring-words: the docstring says 'somebody': name the thing",
        id="docstring-words of a script",
    ),
    pytest.param(
        {f"{COMMON}/cost.py": "class HTTPMandate: ...\n"},
        f"{COMMON}/cost.py:1: old-name: HTTPMandate has the old name 'mandate': say: rental policy",
        id="old-name of a class",
    ),
    pytest.param(
        {f"{COMMON}/cost.py": "def run():\n    def _wishes_of(job): ...\n"},
        f"{COMMON}/cost.py:2: old-name: _wishes_of has the old name 'wishes': say: demand",
        id="old-name of a function",
    ),
    pytest.param(
        {"tests/common/census.py": ""},
        "tests/common/census.py:1: old-name: census has the old name 'census': say: job counts",
        id="old-name of a module",
    ),
    pytest.param(
        {f"{SCHEDULER}/views.py": "X = 1\n\n\nclass Tier: ...\n"},
        f"{SCHEDULER}/views.py:4: unique-class: class Tier is also in {COMMON}/tiers.py:1",
        id="unique-class",
    ),
    pytest.param(
        {"tests/common/test_cost.py": "class Tier: ...\n"},
        f"tests/common/test_cost.py:1: unique-class: class Tier is also in {COMMON}/tiers.py:1",
        id="unique-class of a test's helper",
    ),
    pytest.param(
        {f"{COMMON}/tiers.py": "def price():\n    from trackfarm.cost import euro\n"},
        "import-cycle: trackfarm.tiers is imported by trackfarm.cost is imported by trackfarm.tiers",
        id="import-cycle by a lazy import",
    ),
    pytest.param(
        {f"{COMMON}/tiers.py": "import trackfarm.cost\n"},
        "import-cycle: trackfarm.tiers is imported by trackfarm.cost is imported by trackfarm.tiers",
        id="import-cycle by a plain import",
    ),
    pytest.param(
        {f"{SCHEDULER}/views.py": "from sqlmodel import Session, select\n"},
        f"{SCHEDULER}/views.py:1: sql-place: an import of sqlmodel: move the query",
        id="sql-place of an import",
    ),
    pytest.param(
        {f"{SCHEDULER}/views.py": "\nimport sqlalchemy.orm\n"},
        f"{SCHEDULER}/views.py:2: sql-place: an import of sqlalchemy.orm: move the query",
        id="sql-place of a plain import",
    ),
    pytest.param(
        {f"{COMMON}/cost.py": "QUERY = '''\n  SELECT *\n  FROM jobs '''\n"},
        f"{COMMON}/cost.py:1: sql-place: a text of SQL: move the query",
        id="sql-place of a text",
    ),
    pytest.param(
        {f"{SCHEDULER}/db/tracks.py": ""},
        f"{SCHEDULER}/db/tracks.py:1: own-test: no test is about it: "
        "add tests/scheduler/db/test_tracks.py",
        id="own-test",
    ),
    pytest.param(
        {f"{SCHEDULER}/__main__.py": "", "tests/scheduler/test_mainly.py": ""},
        f"{SCHEDULER}/__main__.py:1: own-test: no test is about it: "
        "add tests/scheduler/test_main.py",
        id="own-test of an entry point",
    ),
    pytest.param(
        {f"{COMMON}/cost_total.py": ""},
        f"{COMMON}/cost_total.py:1: own-test: no test is about it: "
        "add tests/common/test_cost_total.py",
        id="own-test with a test of a shorter name",
    ),
]


def run_checks(root: Path, files: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return subprocess.run(
        [sys.executable, SCRIPT], cwd=root, check=False, capture_output=True, text=True
    )


def test_conventions_pass_on_a_clean_tree(tmp_path: Path) -> None:
    run = run_checks(tmp_path, CLEAN_TREE)
    assert f"{len(CLEAN_TREE)} files, 0 breaches of the conventions" in run.stdout
    assert "common/trackfarm: 0 of 1 docstrings have a banned word" in run.stdout
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize(("files", "breach"), FAULTS)
def test_conventions_report_a_planted_fault(
    tmp_path: Path, files: Mapping[str, str], breach: str
) -> None:
    run = run_checks(tmp_path, CLEAN_TREE | dict(files))
    assert breach in run.stdout
    assert " 1 breaches of the conventions" in run.stdout
    assert (run.returncode, run.stderr) == (1, "")


def test_conventions_count_the_docstrings_of_each_folder(tmp_path: Path) -> None:
    run = run_checks(tmp_path, CLEAN_TREE | {f"{COMMON}/cost.py": "'''Nobody pays.'''\n"})
    assert "common/trackfarm: 1 of 2 docstrings have a banned word" in run.stdout
