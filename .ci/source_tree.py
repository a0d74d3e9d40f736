"""The Python files of the repository, parsed once for all checks of the conventions."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Module:
    """A parsed file: its import name, and its path from the root of the repository."""

    name: str
    path: Path
    syntax: ast.Module
    line_count: int

    @cached_property
    def nodes(self) -> list[ast.AST]:
        return list(ast.walk(self.syntax))

    @cached_property
    def docstrings(self) -> list[tuple[int, str]]:
        """Line and text of each docstring."""
        documented = [node for node in self.nodes if isinstance(node, DOCUMENTED)]
        return [
            (node.body[0].lineno, text) for node in documented if (text := ast.get_docstring(node))
        ]

    @cached_property
    def strings(self) -> list[tuple[int, str]]:
        """Line and text of each string literal, docstrings included."""
        return [
            (node.lineno, node.value)
            for node in self.nodes
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]

    def imports(self) -> Iterator[tuple[int, str, tuple[str, ...]]]:
        """Yield line, module and names of each import; no names for a plain `import module`."""
        for node in self.nodes:
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name, ()) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield node.lineno, node.module, tuple(alias.name for alias in node.names)


@dataclass(frozen=True)
class SourceTree:
    """The modules of each folder; `tests` is one of them."""

    folders: Mapping[str, list[Module]]

    @property
    def modules(self) -> Iterator[Module]:
        for modules in self.folders.values():
            yield from modules

    @property
    def tests(self) -> list[Module]:
        return self.folders["tests"]


def read_tree(root: Path, folders: Iterable[str]) -> SourceTree:
    return SourceTree({folder: list(_read_folder(root, folder)) for folder in folders})


def _read_folder(root: Path, folder: str) -> Iterator[Module]:
    """Parse the files below `folder`; its last part begins their import names."""
    for file in sorted((root / folder).rglob("*.py")):
        path = file.relative_to(root)
        parts = path.relative_to(Path(folder).parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = file.read_text()
        yield Module(name, path, ast.parse(text, str(path)), len(text.splitlines()))
