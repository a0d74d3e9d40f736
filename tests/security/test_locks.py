"""Lock files of the images: pinned, hashed, and only from the registry."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = {"scheduler": ["scheduler", "fleet", "flower"], "worker": ["worker", "gpu"]}
PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;]+)")


def blocks(name: str) -> list[str]:
    """Return each requirement joined with its continuation lines."""
    text = (ROOT / "docker" / f"{name}.lock").read_text()
    joined = text.replace("\\\n", " ")
    return [line for line in joined.splitlines() if line and not line.lstrip().startswith("#")]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize(("name", "least"), [*((name, 40) for name in LOCKS), ("build", 4)])
def test_image_lock_pins_and_hashes_everything(name: str, least: int) -> None:
    found = blocks(name)
    assert len(found) > least
    for block in found:
        assert PINNED.match(block), block
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block


@pytest.mark.parametrize("name", [*LOCKS, "build"])
def test_image_lock_names_no_folder_and_no_other_registry(name: str) -> None:
    text = (ROOT / "docker" / f"{name}.lock").read_text()
    for sign in ("file:", "http:", "https:", "--index-url", "--find-links", "+cpu", "-e "):
        assert sign not in text


@pytest.mark.parametrize("name", LOCKS)
def test_image_lock_has_all_requirements_of_the_project(name: str) -> None:
    """A dependency that was added without `make lock` is not in the lock file."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(each for extra in LOCKS[name] for each in extras[extra])]
    locked = {canonical(match[1]) for block in blocks(name) if (match := PINNED.match(block))}
    asked = {canonical(re.split(r"[\[=<>~!; ]", each, maxsplit=1)[0]) for each in wanted}
    assert asked <= locked


def test_worker_image_gets_torch_for_gpus() -> None:
    locked = [block for block in blocks("worker") if block.startswith(("torch==", "nvidia-"))]
    assert any(block.startswith("torch==2.13") for block in locked)
    assert any(block.startswith("nvidia-") for block in locked), "not a build for CPUs alone"
