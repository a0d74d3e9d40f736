"""Only the engine process imports torch: the worker's main process must stay small and quick."""

import pkgutil
import subprocess
import sys

import trackfarm_worker

INSIDE_THE_ENGINE = {
    f"trackfarm_worker.{name}"
    for name in (
        "engine.__main__",
        "engine.decoder",
        "engine.denoiser",
        "engine.maker",
        "engine.server",
        "models.loader",
        "models.tiny",
    )
}
HEAVY = ("torch", "diffusers", "transformers")


def modules() -> set[str]:
    walked = pkgutil.walk_packages(trackfarm_worker.__path__, "trackfarm_worker.")
    return {module.name for module in walked}


def test_no_module_of_the_main_process_imports_torch() -> None:
    light = sorted(modules() - INSIDE_THE_ENGINE)
    assert "trackfarm_worker.engine.process" in light
    code = f"import importlib, sys\nfor name in {light}: importlib.import_module(name)\n"
    code += f"print(*[name for name in {HEAVY} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.split() == []


def test_the_exceptions_are_modules_that_exist() -> None:
    assert modules() >= INSIDE_THE_ENGINE
