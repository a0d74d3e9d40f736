"""No source unpickles, evaluates or loads data in a way that can run code."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("common", "scheduler", "worker", "deploy", "bench")
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
HARMLESS = {"UnpicklingError"}  # an exception that torch raises
FORBIDDEN_CALLS = {
    "eval",
    "exec",
    "compile_command",
    "os.system",
    "os.popen",
    "yaml.load",
    "yaml.full_load",
    "yaml.unsafe_load",
    "yaml.load_all",
    "yaml.full_load_all",
    "yaml.unsafe_load_all",
    "tarfile.extractall",
    "torch.jit.load",
}
# Calls that are allowed only with this argument.
ONLY_WITH = {
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
    "np.save": ("allow_pickle", False),
}


def flaws(tree: ast.AST) -> Iterator[str]:
    """Yield the forbidden imports and calls of a module."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (n.name for n in names if n.name.split(".")[0] in FORBIDDEN_MODULES)
            case ast.ImportFrom(module=str(module), names=names):
                taken = {n.name for n in names} - HARMLESS
                if taken and module.split(".")[0] in FORBIDDEN_MODULES:
                    yield module
            case ast.Call(func=func, keywords=keywords):
                given = {k.arg: getattr(k.value, "value", None) for k in keywords}
                yield from _call_flaws(ast.unparse(func), given)


def _call_flaws(name: str, given: dict[str | None, object]) -> Iterator[str]:
    if name in FORBIDDEN_CALLS:
        yield name
    if given.get("shell") is True:
        yield f"{name}(shell=True)"
    if given.get("trust_remote_code") is True:
        yield f"{name}(trust_remote_code=True)"
    if name in ONLY_WITH:
        argument, wanted = ONLY_WITH[name]
        if given.get(argument) is not wanted:
            yield f"{name} without {argument}={wanted}"


def test_sources_load_no_data_that_can_run_code() -> None:
    files = [path for folder in SOURCES for path in sorted((ROOT / folder).rglob("*.py"))]
    assert len(files) > 200
    found = {
        str(path.relative_to(ROOT)): wrong
        for path in files
        if (wrong := list(flaws(ast.parse(path.read_text()))))
    }
    assert found == {}


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path)",
        "yaml.load(text, Loader=yaml.Loader)",
        "eval(text)",
        "subprocess.run(text, shell=True)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
    ],
)
def test_loading_check_finds_each_unsafe_line(line: str) -> None:
    assert list(flaws(ast.parse(line)))


@pytest.mark.parametrize(
    "line",
    [
        "torch.load(path, weights_only=True)",
        "np.load(path, allow_pickle=False)",
        "yaml.safe_load(text)",
        "json.loads(text)",
    ],
)
def test_loading_check_accepts_safe_lines(line: str) -> None:
    assert list(flaws(ast.parse(line))) == []
