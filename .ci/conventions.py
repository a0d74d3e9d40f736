"""Check the conventions that no linter knows; print each breach and exit 1 if there is one.

`make check` runs it from the root of the repository. It parses and never imports, so it is quick.

    file-length      a file has at most 300 lines; migrations may have more
    docstring-words  a docstring names its subject, without the pronouns of PRONOUNS
    old-name         no module, class or function bears a name that was given up (old_names.py)
    unique-class     a class name means one thing in the product, the benches and the tests
    import-cycle     no module imports itself through others, not even lazily or for its types
    sql-place        SQL is written in the scheduler's db/ and nowhere else
    own-test         a module has a test file named after it, or a test that imports it
"""

import ast
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from old_names import ALLOWED_NAMES, OLD_NAMES
from source_tree import Module, SourceTree, read_tree

# The folder of tests that mirrors each package; of the others, the rules about tests say nothing.
MIRRORS: Mapping[str, str] = {
    "common/trackfarm": "tests/common",
    "scheduler/trackfarm_scheduler": "tests/scheduler",
    "worker/trackfarm_worker": "tests/worker",
    "deploy/trackfarm_fleet": "tests/fleet",
}
BENCHES = (
    "bench/trackfarm_sim",
    "bench/trackfarm_bench",
    "bench/trackfarm_dashboards",
    "bench/trackfarm_demo",
    "bench/trackfarm_parity",
)
FOLDERS = (*MIRRORS, *BENCHES, ".ci", "docker", "examples", "tests")

MAX_LINES = 300
PRONOUNS = re.compile(
    r"\b(who|what|whoever|whose|those|anew|nobody|somebody|but for)\b", re.IGNORECASE
)
SQL_LIBRARIES = frozenset({"alembic", "psycopg", "sqlalchemy", "sqlite3", "sqlmodel"})
# Upper or lower case, but no sentence that begins with "Select".
SQL_TEXT = re.compile(
    r"\s*(?:(?:SELECT|select)\s.+\s(?:FROM|from)|(?:INSERT|insert)\s+(?:INTO|into)"
    r"|(?:UPDATE|update)\s.+\s(?:SET|set)|(?:DELETE|delete)\s+(?:FROM|from))\s",
    re.DOTALL,
)
# Types to pass on and a parser of URLs; errors to catch are in sqlalchemy.exc.
NOT_QUERIES = frozenset({"Connection", "Engine", "Row", "Session", "URL", "make_url"})
SQL_PLACES = (
    "scheduler/trackfarm_scheduler/db/",
    "scheduler/trackfarm_scheduler/migrations/",
    "worker/trackfarm_worker/outbox.py",  # a SQLite file that is the worker's alone
    *BENCHES,  # they measure the database, and read it as a witness of the scheduler
    "tests/",
)


@dataclass(frozen=True)
class Breach:
    """A place where a rule does not hold, and the way to mend it."""

    path: Path
    line: int
    rule: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: {self.problem}: {self.remedy}"


def file_length(tree: SourceTree) -> Iterator[Breach]:
    for module in tree.modules:
        if module.line_count > MAX_LINES and "migrations" not in module.path.parts:
            problem = f"{module.line_count} lines are more than {MAX_LINES}"
            yield Breach(module.path, MAX_LINES, "file-length", problem, "split the file by role")


def docstring_words(tree: SourceTree) -> Iterator[Breach]:
    for module in tree.modules:
        for line, text in module.docstrings:
            if word := PRONOUNS.search(text):
                problem = f"the docstring says {word.group()!r}"
                yield Breach(module.path, line, "docstring-words", problem, "name the thing")


def old_names(tree: SourceTree) -> Iterator[Breach]:
    for module in tree.modules:
        for line, name in _defined_names(module):
            for word in _words(name):
                if (term := OLD_NAMES.get(word)) and name not in ALLOWED_NAMES:
                    problem = f"{name} has the old name {word!r}"
                    yield Breach(module.path, line, "old-name", problem, f"say: {term}")


def _defined_names(module: Module) -> Iterator[tuple[int, str]]:
    """Yield line and name of the module, its classes and functions, the test functions excepted.

    A test's name is a sentence, in which words such as "stays" have their everyday sense.
    """
    yield 1, module.path.stem
    for node in module.nodes:
        match node:
            case (
                ast.ClassDef(name=name)
                | ast.FunctionDef(name=name)
                | ast.AsyncFunctionDef(name=name)
            ):
                if not name.startswith("test_"):
                    yield node.lineno, name


def _words(name: str) -> list[str]:
    """Split a name in snake_case or CamelCase into its words, in lower case."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def unique_classes(tree: SourceTree) -> Iterator[Breach]:
    first_places: dict[str, str] = {}
    for module in tree.modules:
        for node in module.syntax.body:
            if isinstance(node, ast.ClassDef):
                place = f"{module.path}:{node.lineno}"
                first = first_places.setdefault(node.name, place)
                if first != place:
                    problem = f"class {node.name} is also in {first}"
                    yield Breach(module.path, node.lineno, "unique-class", problem, "rename one")


def import_cycles(tree: SourceTree) -> Iterator[Breach]:
    """Report one cycle; a second one shows when the first is gone."""
    modules = {module.name: module for module in tree.modules}
    graph = {name: sorted(_imported(module, modules) - {name}) for name, module in modules.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        names: list[str] = error.args[1]
        problem = " is imported by ".join(names)
        remedy = "move what they share into a module that imports none of them"
        yield Breach(modules[names[0]].path, 1, "import-cycle", problem, remedy)


def _imported(module: Module, modules: Mapping[str, Module]) -> set[str]:
    """Return the modules of ours that this one imports; `from a import b` may name the module a.b."""
    imported: set[str] = set()
    for _, source, names in module.imports():
        imported.update(
            submodule if (submodule := f"{source}.{name}") in modules else source for name in names
        )
        if not names:
            imported.add(source)
    return imported & modules.keys()


def sql_places(tree: SourceTree) -> Iterator[Breach]:
    remedy = "move the query to trackfarm_scheduler/db/"
    for module in tree.modules:
        if not module.path.as_posix().startswith(SQL_PLACES):
            for line, problem in _queries(module):
                yield Breach(module.path, line, "sql-place", problem, remedy)


def _queries(module: Module) -> Iterator[tuple[int, str]]:
    """Yield line and description of each SQL text and each import of an SQL library."""
    for line, source, names in module.imports():
        is_query = not names or bool(set(names) - NOT_QUERIES)
        if source.partition(".")[0] in SQL_LIBRARIES and source != "sqlalchemy.exc" and is_query:
            yield line, f"an import of {source}"
    for line, text in module.strings:
        if SQL_TEXT.match(text):
            yield line, "a text of SQL"


def own_tests(tree: SourceTree) -> Iterator[Breach]:
    mentioned = {name for test in tree.tests for name in _mentions(test)}
    mirrored = {path for test in tree.tests for path in _subjects(test)}
    for folder, mirror in MIRRORS.items():
        for module in tree.folders[folder]:
            if module.path.name == "__init__.py" or "migrations" in module.path.parts:
                continue
            place = Path(mirror) / module.path.relative_to(folder).parent
            name = module.path.stem.strip("_")  # the tests of __main__.py are in test_main.py
            if module.name not in mentioned and place / name not in mirrored:
                remedy = f"add {place}/test_{name}.py"
                yield Breach(module.path, 1, "own-test", "no test is about it", remedy)


def _mentions(test: Module) -> Iterator[str]:
    """Yield the modules that a test imports, or runs as `python -m module`."""
    for _, source, names in test.imports():
        yield source
        yield from (f"{source}.{name}" for name in names)
    yield from (text for _, text in test.strings)


def _subjects(test: Module) -> Iterator[Path]:
    """Yield the modules, by their places below tests/, that a file of tests may be named after.

    `test_a_b.py` may test `a_b`, or an aspect b of `a`; `a/test_b.py` may test an aspect of `a` too.
    """
    if test.path.stem.startswith("test_"):
        words = test.path.stem.split("_")[1:]
        for count in range(1, len(words) + 1):
            yield test.path.with_name("_".join(words[:count]))
        yield test.path.parent


CHECKS: tuple[Callable[[SourceTree], Iterator[Breach]], ...] = (
    file_length,
    docstring_words,
    old_names,
    unique_classes,
    import_cycles,
    sql_places,
    own_tests,
)


def docstring_shares(tree: SourceTree) -> Iterator[str]:
    for folder, modules in tree.folders.items():
        texts = [text for module in modules for _, text in module.docstrings]
        count = sum(PRONOUNS.search(text) is not None for text in texts)
        yield f"{folder}: {count} of {len(texts)} docstrings have a banned word"


def main() -> int:
    tree = read_tree(Path.cwd(), FOLDERS)
    breaches = [breach for check in CHECKS for breach in check(tree)]
    print(*docstring_shares(tree), *breaches, sep="\n")
    print(f"{sum(1 for _ in tree.modules)} files, {len(breaches)} breaches of the conventions")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
