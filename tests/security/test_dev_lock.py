"""The lock of the packages that `make demo` and `make test` install."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = ("dev", "swift")
EXTRAS = ("scheduler", "worker", "fleet", "flower", "sim", "embedded")
PYTHON = {"python_version": "3.11", "python_full_version": "3.11.9"}
CUDA = ("nvidia-", "cuda-", "triton")


def locked(path: str) -> Iterator[Requirement]:
    """Yield the pins for Python 3.11, which the images' locks are made for."""
    for line in (ROOT / path).read_text().splitlines():
        if line and line[0].isalnum():
            pin = Requirement(line.removesuffix("\\"))
            if pin.marker is None or pin.marker.evaluate(PYTHON):
                yield pin


def versions(path: str) -> dict[str, str]:
    return {canonicalize_name(pin.name): next(iter(pin.specifier)).version for pin in locked(path)}


@pytest.mark.parametrize("name", LOCKS)
def test_dev_lock_pins_each_package_without_a_location(name: str) -> None:
    pins = list(locked(f"requirements/{name}.lock"))
    assert len(pins) > 10
    for pin in pins:
        assert [specifier.operator for specifier in pin.specifier] == ["=="], pin
    text = (ROOT / "requirements" / f"{name}.lock").read_text()
    for sign in ("file:", "http:", "https:", "--index-url", "--find-links", "+cpu", "-e ", " @ "):
        assert sign not in text


def test_dev_lock_has_all_requirements_within_their_ranges() -> None:
    """If this fails, run `make lock`."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras, groups = content["project"]["optional-dependencies"], content["dependency-groups"]
    lists = [content["project"]["dependencies"], *(extras[name] for name in EXTRAS)]
    wanted = [Requirement(text) for each in (*lists, *groups.values()) for text in each]
    pins = versions("requirements/dev.lock")
    for requirement in wanted:
        if requirement.name != "trackfarm":
            assert pins[canonicalize_name(requirement.name)] in requirement.specifier, requirement


def test_requirement_ranges_have_an_upper_bound() -> None:
    content = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras, groups = content["project"]["optional-dependencies"], content["dependency-groups"]
    lists = [content["project"]["dependencies"], *extras.values(), *groups.values()]
    for text in (text for each in lists for text in each):
        requirement = Requirement(text)
        bounds = {specifier.operator for specifier in requirement.specifier} & {"<", "=="}
        assert bounds or requirement.name == "trackfarm", text


def test_dev_lock_fits_a_build_of_torch_for_cpus() -> None:
    pins = versions("requirements/dev.lock")
    assert "torch" in pins
    of_cuda = {name for name in pins if name.startswith((*CUDA, "torchaudio"))}
    assert of_cuda == {"nvidia-ml-py"}, "which is Python, and reads the driver's own library"


@pytest.mark.parametrize("image", ["scheduler", "worker", "build"])
def test_image_locks_have_the_versions_of_the_dev_lock(image: str) -> None:
    tested, shipped = versions("requirements/dev.lock"), versions(f"docker/{image}.lock")
    common = tested.keys() & shipped.keys()
    assert len(common) >= 4
    assert {name: tested[name] for name in common} == {name: shipped[name] for name in common}
