"""The trees in docs/architecture.md show each package as it is."""

import re
from pathlib import Path

import pytest

from tests.documents.pages import DOCS, ROOT

PACKAGES = (
    "common/trackfarm",
    "scheduler/trackfarm_scheduler",
    "worker/trackfarm_worker",
    "deploy/trackfarm_fleet",
)
NAME = re.compile(r"[\w./]+(?:\.py|/)(?=[\s,:;)]|$)")


@pytest.mark.parametrize("package", PACKAGES)
def test_tree_shows_the_files_and_folders_of_its_package(package: str) -> None:
    folder, shown = ROOT / package, tree_of(package)
    assert not [name for name in shown if not (folder / name).exists()]
    assert entries(folder) <= {Path(name).parts[0] for name in shown}


def tree_of(package: str) -> set[str]:
    """Return the files and folders that the package's tree names."""
    text = (DOCS / "architecture.md").read_text()
    block = text.split(f"\n### {package}\n\n```\n")[1].split("```")[0]
    return {name for name in NAME.findall(block) if not name.startswith("/")}


def entries(folder: Path) -> set[str]:
    """Return the modules and folders of code in a package."""
    modules = {path.name for path in folder.glob("*.py")} - {"__init__.py"}
    return modules | {path.parent.name for path in folder.glob("*/*.py")}
