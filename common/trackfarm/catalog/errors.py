"""Problems of a catalog and of its briefs, as the operator reads them."""

import reprlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

ROWS_SHOWN = 3
_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 60


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """Problem in one field of a brief, for briefs from any source."""

    field: str
    wrong: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.field}: {self.wrong}; {self.remedy}"


@dataclass(frozen=True, slots=True)
class CatalogProblem:
    """A problem and its location. `row` is the line in an editor; 0 means the whole file."""

    file: str
    row: int
    field: str
    wrong: str
    remedy: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.row}" if self.row else self.file
        return f"{place}: {self.field}: {self.wrong}; {self.remedy}"


def grouped(problems: Iterable[CatalogProblem]) -> list[str]:
    """Return one line per problem; problems that differ only in their row share a line.

    The line has the row of the first and lists the other rows.
    """
    rows: dict[CatalogProblem, list[int]] = {}
    for problem in problems:
        rows.setdefault(replace(problem, row=0), []).append(problem.row)
    return [_line(problem, numbers) for problem, numbers in rows.items()]


def _line(problem: CatalogProblem, rows: list[int]) -> str:
    first, others = str(replace(problem, row=rows[0])), rows[1:]
    if not others:
        return first
    if set(others) == {rows[0]}:
        return f"{first} (for {len(rows):,} briefs)"
    first_rows = ", ".join(map(str, others[:ROWS_SHOWN]))
    more = ", ..." if len(others) > ROWS_SHOWN else ""
    noun = "row" if len(others) == 1 else "rows"
    return f"{first} (and {len(others):,} more {noun}: {first_rows}{more})"


class CatalogError(Exception):
    """The catalog cannot be read (further).

    `problems` are the ones found so far; `count` is their number if not all were kept.
    """

    def __init__(self, problems: Iterable[CatalogProblem], *, count: int | None = None) -> None:
        self.problems = tuple(problems)
        self.count = len(self.problems) if count is None else count
        super().__init__("\n".join(grouped(self.problems)))


def at_row(problems: Iterable[FieldProblem], file: str, row: int) -> list[CatalogProblem]:
    """Return the problems with their location."""
    return [
        CatalogProblem(file, row, problem.field, problem.wrong, problem.remedy)
        for problem in problems
    ]


def catalog_error(file: str, row: int, field: str, wrong: str, remedy: str) -> CatalogError:
    """Return the error for a single problem after which the catalog cannot be read further."""
    return CatalogError([CatalogProblem(file, row, field, wrong, remedy)])


def quoted(value: object) -> str:
    """Return the value's representation, short and safe to print."""
    return _short.repr(value)


def shown_name(name: object) -> str:
    """Return a field name for a message: plain if printable and short, else quoted and cut."""
    text = str(name)
    return text if text.isprintable() and 0 < len(text) <= 60 else quoted(text)
