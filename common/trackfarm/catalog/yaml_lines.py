"""YAML with line numbers, without duplicate keys and without YAML 1.1's implicit types."""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from trackfarm.catalog.errors import CatalogError, catalog_error
from trackfarm.catalog.text_lines import read_text

try:
    from yaml import CSafeLoader as _Base
except ImportError:  # PyYAML built without libyaml: the same, slower
    from yaml import SafeLoader as _Base  # type: ignore[assignment]

MOST_BYTES = 64 * 1024 * 1024
DEEPEST = 50
_TOO_DEEP = "is nested too deeply"
# libyaml 0.2.6 (PyYAML 6.0.4) has its own limit, 1,000, and its scanner reads ahead of our count.
_TOO_DEEP_FOR_LIBYAML = "exceeded maximum nesting depth"
_TOO_LARGE = "write it as JSON Lines (.jsonl), which has no limit"


class _Loader(_Base):
    """PyYAML's safe loader without YAML 1.1's surprises: `no` is Norwegian, `2024-01-01` text."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0

    def descend_resolver(self, current_node: Node | None, current_index: int) -> None:
        # PyYAML calls this for every node it enters; libyaml's own recursion would crash.
        self._depth += 1
        if self._depth > DEEPEST and current_node is not None:
            raise ComposerError(None, None, _TOO_DEEP, current_node.start_mark)

    def ascend_resolver(self) -> None:
        self._depth -= 1

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, ScalarNode) and key.value != "<<":
                if key.value in keys:
                    raise ConstructorError(None, None, f"{key.value!r} is twice", key.start_mark)
                keys.add(key.value)
        return super().construct_mapping(node, deep)


_SURPRISES = ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _SURPRISES]
    for first, resolvers in _Base.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


class Document:
    """A parsed YAML file: nodes with lines, constructed one at a time."""

    def __init__(self, path: Path) -> None:
        """Parse the file. Raises `CatalogError` if it is not one YAML document."""
        self.file = str(path)
        text = read_text(path, MOST_BYTES, _TOO_LARGE)
        try:
            self._loader = _Loader(text)
            self.root: Node | None = self._loader.get_single_node()
        except (yaml.YAMLError, RecursionError) as error:
            raise self.unreadable(error) from None

    def value(self, node: Node) -> Any:
        """Return the value of the node. Raises `CatalogError` if it is invalid."""
        try:
            return self._loader.construct_object(node, deep=True)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise self.unreadable(error, line_of(node)) from None

    def unreadable(self, error: Exception, line: int = 1) -> CatalogError:
        """Return the error for the line at which PyYAML failed."""
        mark = getattr(error, "problem_mark", None)
        row = mark.line + 1 if mark is not None else line
        wrong = getattr(error, "problem", None) or str(error) or type(error).__name__
        if wrong == _TOO_DEEP_FOR_LIBYAML:
            wrong = _TOO_DEEP
        return catalog_error(
            self.file, row, "YAML", str(wrong).replace("\n", " "), "correct this line"
        )


def line_of(node: Node) -> int:
    """Return the line, from 1, where the node starts."""
    return int(node.start_mark.line) + 1


def items_of(node: Node) -> list[Node]:
    """Return the items of a list node; empty for any other node."""
    return list(node.value) if isinstance(node, SequenceNode) else []


def fields_of(node: Node | None) -> dict[str, Node]:
    """Return the values of a mapping node by key; empty for any other node."""
    if not isinstance(node, MappingNode):
        return {}
    return {str(key.value): value for key, value in node.value if isinstance(key, ScalarNode)}


def key_lines(node: Node | None) -> dict[str, int]:
    """Return the line of each key of a mapping node; empty for any other node."""
    if not isinstance(node, MappingNode):
        return {}
    return {str(k.value): line_of(k) for k, _ in node.value if isinstance(k, ScalarNode)}
