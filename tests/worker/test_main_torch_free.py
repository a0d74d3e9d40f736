"""Only the engine process imports torch: the worker's main process must stay small and quick."""

import pkgutil
import subprocess
import sys

import trackfarm_worker

CHILD = "trackfarm_worker.engine.child"
MODELS_WITH_TORCH = {
    f"trackfarm_worker.models.{name}"
    for name in (
        "acestep_checkpoint",
        "bench_models",
        "built_in",
        "conversion",
        "demo",
        "loader",
        "pipeline_parts",
        "quantize",
        "random_weights",
        "tiny",
    )
}
HEAVY = ("torch", "diffusers", "transformers")


def modules() -> set[str]:
    packages = pkgutil.walk_packages(trackfarm_worker.__path__, "trackfarm_worker.")
    return {module.name for module in packages}


def test_modules_outside_the_engine_process_import_no_torch() -> None:
    names = sorted(n for n in modules() - MODELS_WITH_TORCH if not n.startswith(f"{CHILD}."))
    assert {"trackfarm_worker.engine.parent.client", "trackfarm_worker.models.download"} <= {*names}
    code = f"import importlib, sys\nfor name in {names}: importlib.import_module(name)\n"
    code += f"print(*[name for name in {HEAVY} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.split() == []


def test_modules_with_torch_exist() -> None:
    assert modules() >= MODELS_WITH_TORCH | {CHILD}
