"""Only the engine process imports torch: the worker's main process must stay small and quick."""

import pkgutil
import subprocess
import sys

import trackfarm_worker

INSIDE_THE_ENGINE = {
    f"trackfarm_worker.{name}"
    for name in (
        "engine.__main__",
        "engine.acceleration",
        "engine.attention",
        "engine.conditioning",
        "engine.decoder",
        "engine.deliveries",
        "engine.delivery",
        "engine.denoiser",
        "engine.device",
        "engine.exhaustion",
        "engine.guidance",
        "engine.loudness",
        "engine.maker",
        "engine.meter",
        "engine.rows",
        "engine.schedule",
        "engine.server",
        "engine.serving",
        "engine.sounds",
        "engine.spool",
        "engine.synthetic",
        "engine.texts",
        "models.conversion",
        "models.int8",
        "models.loader",
        "models.official_weights",
        "models.random_weights",
        "models.real_size",
        "models.tiny",
    )
}
HEAVY = ("torch", "diffusers", "transformers")


def modules() -> set[str]:
    walked = pkgutil.walk_packages(trackfarm_worker.__path__, "trackfarm_worker.")
    return {module.name for module in walked}


def test_no_module_of_the_main_process_imports_torch() -> None:
    light = sorted(modules() - INSIDE_THE_ENGINE)
    assert "trackfarm_worker.engine.parent.client" in light
    code = f"import importlib, sys\nfor name in {light}: importlib.import_module(name)\n"
    code += f"print(*[name for name in {HEAVY} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.split() == []


def test_the_exceptions_are_modules_that_exist() -> None:
    assert modules() >= INSIDE_THE_ENGINE
