"""What can be wrong with a catalog, in the operator's words."""

import reprlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

ROWS_SHOWN = 3
_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 60


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one field of a brief, wherever the brief came from."""

    field: str
    wrong: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.field}: {self.wrong}; {self.remedy}"


@dataclass(frozen=True, slots=True)
class Problem:
    """A fault with its place. `row` is the line an editor shows; 0 means the whole file."""

    file: str
    row: int
    field: str
    wrong: str
    remedy: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.row}" if self.row else self.file
        return f"{place}: {self.field}: {self.wrong}; {self.remedy}"


def folded(problems: Iterable[Problem]) -> list[str]:
    """The problems as lines, with one for all that differ at most in their row: that of the first,
    and which rows have it too."""
    rows: dict[Problem, list[int]] = {}
    for problem in problems:
        rows.setdefault(replace(problem, row=0), []).append(problem.row)
    return [_line(problem, found) for problem, found in rows.items()]


def _line(problem: Problem, rows: list[int]) -> str:
    first, others = str(replace(problem, row=rows[0])), rows[1:]
    if not others:
        return first
    if set(others) == {rows[0]}:
        return f"{first} (for {len(rows):,} briefs)"
    shown = ", ".join(map(str, others[:ROWS_SHOWN]))
    more = ", ..." if len(others) > ROWS_SHOWN else ""
    noun = "row" if len(others) == 1 else "rows"
    return f"{first} (and {len(others):,} more {noun}: {shown}{more})"


class CatalogError(Exception):
    """The catalog cannot be read (further). `problems` holds what was found until then, `count` is
    their number where there were more than are kept."""

    def __init__(self, problems: Iterable[Problem], *, count: int | None = None) -> None:
        self.problems = tuple(problems)
        self.count = len(self.problems) if count is None else count
        super().__init__("\n".join(folded(self.problems)))


def placed(faults: Iterable[Fault], file: str, row: int) -> list[Problem]:
    """The faults as problems of one row."""
    return [Problem(file, row, fault.field, fault.wrong, fault.remedy) for fault in faults]


def stop(file: str, row: int, field: str, wrong: str, remedy: str) -> CatalogError:
    """The error to raise for the one problem after which nothing more can be read."""
    return CatalogError([Problem(file, row, field, wrong, remedy)])


def shown(value: object) -> str:
    """The value as it was written, short enough and safe enough to print."""
    return _short.repr(value)


def shown_name(name: object) -> str:
    """A field name for a message: as it is when plain, quoted and shortened when not."""
    text = str(name)
    return text if text.isprintable() and 0 < len(text) <= 60 else shown(text)
