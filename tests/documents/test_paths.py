"""Files and modules that the documents name exist."""

import re
from pathlib import Path

import pytest

from tests.documents.pages import ROOT, pages, prose

# Where a path in a document may begin.
BASES = (
    "",
    "docs",
    "tests",
    "common",
    "common/trackfarm",
    "scheduler",
    "scheduler/trackfarm_scheduler",
    "worker",
    "worker/trackfarm_worker",
    "deploy",
    "deploy/trackfarm_fleet",
    "bench/trackfarm_sim",
    "examples",
)
PATH = re.compile(r"`([\w./-]+\.(?:py|toml))`")
PACKAGES = {
    "trackfarm": "common",
    "trackfarm_scheduler": "scheduler",
    "trackfarm_worker": "worker",
    "trackfarm_fleet": "deploy",
    "trackfarm_sim": "bench",
    "trackfarm_bench": "bench",
    "trackfarm_dashboards": "bench",
}
MODULE = re.compile(rf"(?<![\w/\".])({'|'.join(PACKAGES)})((?:\.\w+)+)")


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_exist(page: Path) -> None:
    text = "\n".join(prose(page))
    missing = [path for path in PATH.findall(text) if not _is_file(path)]
    missing += [
        name + rest for name, rest in MODULE.findall(text) if not _is_module(name, rest[1:])
    ]
    assert missing == []


def test_paths_are_found() -> None:
    """Verify that the test above can fail."""
    assert PATH.findall("`loops/no_such_loop.py`") == ["loops/no_such_loop.py"]
    assert not _is_file("loops/no_such_loop.py")
    assert _is_module("trackfarm", "planning.models.Plan")
    assert not _is_module("trackfarm", "planning.models.NoSuchPlan")


def _is_file(path: str) -> bool:
    """Return whether the file exists below a base; without a folder, anywhere in a package."""
    if any((ROOT / base / path).is_file() for base in BASES):
        return True
    return "/" not in path and any(any((ROOT / f).rglob(path)) for f in {*PACKAGES.values()})


def _is_module(package: str, dotted: str) -> bool:
    """Return whether this is a module or package, or a name that a module defines."""
    path = ROOT / PACKAGES[package] / package / dotted.replace(".", "/")
    if path.with_suffix(".py").is_file() or path.is_dir():
        return True
    name = path.name
    for module in (path.parent.with_suffix(".py"), path.parent / "__init__.py"):
        if module.is_file() and re.search(rf"\b{name}\b", module.read_text()):
            return True
    return False
