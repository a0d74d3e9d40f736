"""What can be wrong with a catalog, in the operator's words."""

import reprlib
from collections.abc import Iterable
from dataclasses import dataclass

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


class CatalogError(Exception):
    """The catalog cannot be read (further). `problems` holds what was found until then, `count` is
    their number where there were more than are kept."""

    def __init__(self, problems: Iterable[Problem], *, count: int | None = None) -> None:
        self.problems = tuple(problems)
        self.count = len(self.problems) if count is None else count
        super().__init__("\n".join(map(str, self.problems)))


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
