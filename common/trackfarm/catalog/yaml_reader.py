"""Catalogs as YAML: a header, a list of briefs, matrices."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path

from yaml.nodes import MappingNode, Node, SequenceNode

from trackfarm.catalog.brief import Brief
from trackfarm.catalog.header import Header, read_header
from trackfarm.catalog.matrix import Matrix
from trackfarm.catalog.matrix_reader import read_matrix
from trackfarm.catalog.names import field_of, renamed
from trackfarm.catalog.parsed import MAX_TRACKS, ParsedCatalog, no_briefs, too_many_tracks
from trackfarm.catalog.problems import CatalogError, Fault, Problem, placed, shown, stop
from trackfarm.catalog.rows import Row, combined, row_of
from trackfarm.catalog.yaml_nodes import Document, fields_of, items_of, key_lines, line_of

_BELOW = ("briefs", "matrix")


def open_yaml(path: Path) -> ParsedCatalog:
    """Open a YAML catalog of at most 64 MiB.

    Raises `CatalogError` if the file is not YAML, or its header or a matrix is invalid; the error
    also lists the problems of the briefs.
    """
    document = Document(path)
    if document.root is None:
        raise no_briefs(path)
    if not isinstance(document.root, MappingNode):
        wrong, remedy = "is not a catalog", "write the briefs as a list under `briefs:`"
        raise stop(str(path), line_of(document.root), "catalog", wrong, remedy)
    parts = fields_of(document.root)
    header = _header(document, path, parts)
    briefs = _brief_nodes(document, parts.get("briefs"))
    matrices, wrong_matrices = _matrices(document, parts.get("matrix"), header.defaults)
    wrong_header = list(_header_problems(document, parts, header))
    if wrong_header or wrong_matrices:
        below = chain(wrong_matrices, _brief_problems(document, briefs, header))
        problems = [*wrong_header, *_without_default_errors(below, header)]
        raise CatalogError(sorted(problems, key=lambda problem: problem.row))
    _check_size(document, matrices)
    return ParsedCatalog(
        path=path,
        name=header.name,
        model_set=header.model_set,
        defaults=header.defaults,
        read=lambda: _rows(document, briefs, matrices, header.defaults),
    )


def _header(document: Document, path: Path, parts: Mapping[str, Node]) -> Header:
    own = {key: node for key, node in parts.items() if key not in _BELOW}
    document_keys = key_lines(document.root)
    duplicates = len(document.root.value) - len(document_keys) if document.root else 0
    if duplicates:
        raise stop(document.file, 1, "catalog", "has a section twice", "join the two")
    values = {key: document.value(node) for key, node in own.items()}
    return read_header(values, path.stem, also=_BELOW)


def _header_problems(
    document: Document, parts: Mapping[str, Node], header: Header
) -> Iterator[Problem]:
    outer, inner = key_lines(document.root), key_lines(parts.get("defaults"))
    for fault in header.faults:
        yield Problem(document.file, _row(fault, outer, inner), *_text(fault))


def _brief_problems(document: Document, briefs: list[Node], header: Header) -> Iterator[Problem]:
    for node in briefs:
        outcome = _brief_row(document, node, header.defaults).outcome
        if not isinstance(outcome, Brief):
            yield from outcome


def _without_default_errors(problems: Iterable[Problem], header: Header) -> Iterator[Problem]:
    """Yield the problems that are not caused by an invalid default."""
    invalid = {fault.field.removeprefix("defaults.") for fault in header.faults}
    if "defaults" not in invalid:
        yield from (problem for problem in problems if problem.field not in invalid)


def _row(fault: Fault, outer: Mapping[str, int], inner: Mapping[str, int]) -> int:
    """Return the line of a header's fault: that of its key, else that of its section."""
    section, _, field = fault.field.partition(".")
    by_field = {field_of(key) or key: line for key, line in inner.items()} | dict(inner)
    return by_field.get(field, outer.get(section, 1)) if field else outer.get(section, 1)


def _text(fault: Fault) -> tuple[str, str, str]:
    return fault.field, fault.wrong, fault.remedy


def _brief_nodes(document: Document, node: Node | None) -> list[Node]:
    if node is None or isinstance(node, SequenceNode):
        return items_of(node) if node is not None else []
    wrong = f"{shown(document.value(node))} is not a list"
    raise stop(document.file, line_of(node), "briefs", wrong, "write each brief after a dash")


def _matrices(
    document: Document, node: Node | None, defaults: Mapping[str, object]
) -> tuple[list[Matrix], list[Problem]]:
    nodes = items_of(node) if isinstance(node, SequenceNode) else [node] if node else []
    results = [read_matrix(document, each, defaults) for each in nodes]
    problems = [problem for each in results if not isinstance(each, Matrix) for problem in each]
    return [each for each in results if isinstance(each, Matrix)], problems


def _check_size(document: Document, matrices: list[Matrix]) -> None:
    total = 0
    for matrix in matrices:
        total += matrix.size()
        if total > MAX_TRACKS:
            raise too_many_tracks(document.file, matrix.row, total)


def _rows(
    document: Document,
    briefs: list[Node],
    matrices: list[Matrix],
    defaults: Mapping[str, object],
) -> Iterator[Row]:
    for node in briefs:
        yield _brief_row(document, node, defaults)
    for matrix in matrices:
        for fields in matrix.briefs(defaults):
            yield row_of(document.file, matrix.row, fields)


def _brief_row(document: Document, node: Node, defaults: Mapping[str, object]) -> Row:
    number = line_of(node)
    try:
        value = document.value(node)
    except CatalogError as error:
        return Row(number, list(error.problems))
    if not isinstance(value, dict):
        fault = Fault(
            "brief", f"{shown(value)} is not a brief", "write fields, such as prompt: ..."
        )
        return Row(number, placed([fault], document.file, number))
    fields = {str(name): field for name, field in value.items()}
    return row_of(document.file, number, combined(defaults, renamed(fields)))
