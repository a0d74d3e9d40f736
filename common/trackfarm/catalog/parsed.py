"""A catalog as it was parsed: what stands above the briefs, and how to read them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trackfarm.catalog.problems import CatalogError, stop
from trackfarm.catalog.rows import Row

MAX_TRACKS = 10_000_000


@dataclass(frozen=True, kw_only=True)
class ParsedCatalog:
    """What a reader returns. `defaults` has the fields' own names and has been checked; the rows
    have it applied already."""

    path: Path
    name: str
    read: Callable[[], Iterator[Row]] = field(repr=False, compare=False)
    model_set: str | None = None
    defaults: Mapping[str, object] = field(default_factory=dict)


def no_briefs(path: Path) -> CatalogError:
    """The error for a catalog that asks for nothing."""
    return stop(str(path), 0, "catalog", "has no briefs", "write at least one")


def too_many_tracks(file: str, row: int, tracks: int) -> CatalogError:
    """The error for a catalog that no farm should start on by mistake."""
    wrong = f"asks for {tracks:,} tracks or more, over {MAX_TRACKS:,}"
    return stop(file, row, "catalog", wrong, "split the catalog or lower variations")
