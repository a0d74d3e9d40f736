"""A parsed catalog: its header, and a function that reads its briefs."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trackfarm.catalog.errors import CatalogError, catalog_error
from trackfarm.catalog.header import CatalogRow

MAX_TRACKS = 10_000_000


@dataclass(frozen=True, kw_only=True)
class ParsedCatalog:
    """Result of a reader.

    `defaults` uses the fields' own names and is validated; rows already have it applied.
    """

    path: Path
    name: str
    read: Callable[[], Iterator[CatalogRow]] = field(repr=False, compare=False)
    model_set: str | None = None
    defaults: Mapping[str, object] = field(default_factory=dict)


def no_briefs(path: Path) -> CatalogError:
    """Return the error for a catalog without briefs."""
    return catalog_error(str(path), 0, "catalog", "has no briefs", "write at least one")


def too_many_tracks(file: str, row: int, tracks: int) -> CatalogError:
    """Return the error for a catalog so large that it is probably a mistake."""
    wrong = f"asks for {tracks:,} tracks or more, over {MAX_TRACKS:,}"
    return catalog_error(file, row, "catalog", wrong, "split the catalog or lower variations")
