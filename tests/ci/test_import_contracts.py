"""Contracts of import-linter in pyproject.toml: each reports every import that it forbids."""

import itertools
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
CONTRACTS: list[dict[str, Any]] = SETTINGS["importlinter"]["contracts"]
PACKAGES = SETTINGS["hatch"]["build"]["targets"]["wheel"]["packages"]
FOLDERS: dict[str, str] = {Path(folder).name: folder for folder in PACKAGES}
Fault = tuple[str, str]


@dataclass
class PackageCopy:
    """A copy of the packages, in which imports can be planted."""

    root: Path
    originals: dict[Path, str] = field(default_factory=dict)

    def plant(self, importer: str, imported: str) -> None:
        file = self._file(importer)
        text = file.read_text()
        self.originals.setdefault(file, text)
        file.write_text(f"{text}\nimport {imported}\n")

    def restore(self) -> None:
        for file, text in self.originals.items():
            file.write_text(text)
        self.originals.clear()

    def lint(self) -> subprocess.CompletedProcess[str]:
        paths = os.pathsep.join(str((self.root / path).parent) for path in FOLDERS.values())
        return subprocess.run(
            [Path(sys.executable).with_name("lint-imports"), "--no-logo"],
            cwd=self.root,
            env=os.environ | {"PYTHONPATH": paths, "COLUMNS": "200"},  # no line is wrapped
            check=False,
            capture_output=True,
            text=True,
        )

    def _file(self, module: str) -> Path:
        package, *parts = module.split(".")
        path = self.root.joinpath(FOLDERS[package], *parts)
        return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@pytest.fixture(scope="module")
def package_copy(tmp_path_factory: pytest.TempPathFactory) -> PackageCopy:
    root = tmp_path_factory.mktemp("packages")
    shutil.copy(ROOT / "pyproject.toml", root)
    for folder in FOLDERS.values():
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return PackageCopy(root)


@pytest.fixture
def packages(package_copy: PackageCopy) -> Iterator[PackageCopy]:
    yield package_copy
    package_copy.restore()


def forbidden_imports(contract: Mapping[str, Any]) -> list[Fault]:
    """List importer and imported of all that a contract forbids, by its own words."""
    if contract["type"] == "forbidden":
        sources = map(one_module, contract["source_modules"])
        return list(itertools.product(sources, contract["forbidden_modules"]))
    assert contract["type"] == "layers", f"no test plants a fault for a {contract['type']} contract"
    faults: list[Fault] = []
    for container in contract.get("containers", [""]):
        layers = [
            [f"{container}.{name.strip()}".lstrip(".") for name in layer.split("|")]
            for layer in contract["layers"]
        ]
        for layer in layers:
            faults += itertools.permutations(layer, 2)
        for higher, lower in itertools.combinations(layers, 2):
            faults += itertools.product(lower, higher)
    return faults


def one_module(expression: str) -> str:
    """Return the last of the modules that an expression with `*` (a name) or `**` (names) means."""
    pattern = re.compile(re.escape(expression).replace(r"\*\*", r"[\w.]+").replace(r"\*", r"\w+"))
    package = expression.partition(".")[0]
    folder = ROOT / FOLDERS[package]
    paths = [path.relative_to(folder.parent) for path in folder.rglob("*.py")]
    names = [".".join(path.with_suffix("").parts) for path in paths if path.stem != "__init__"]
    return max(filter(pattern.fullmatch, names)) if "*" in expression else expression


def test_contracts_hold_in_an_untouched_copy(packages: PackageCopy) -> None:
    run = packages.lint()
    assert f"Contracts: {len(CONTRACTS)} kept, 0 broken." in run.stdout
    assert run.returncode == 0


@pytest.mark.parametrize("contract", CONTRACTS, ids=[contract["name"] for contract in CONTRACTS])
def test_contract_reports_each_import_that_it_forbids(
    packages: PackageCopy, contract: Mapping[str, Any]
) -> None:
    faults = forbidden_imports(contract)
    assert faults
    for importer, imported in faults:
        packages.plant(importer, imported)
    run = packages.lint()
    assert run.returncode == 1
    assert f"{contract['name']} BROKEN" in run.stdout
    _, _, report = run.stdout.partition(f"\n{contract['name']}\n---")
    missed = [
        (importer, imported)
        for importer, imported in faults
        if f"{importer} is not allowed to import {imported}:" not in report
    ]
    assert missed == []
