"""Local sources of a catalog: uploaded before it is submitted, and named by their content."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trackfarm.catalog import Brief, Catalog
    from trackfarm.client import Farm


def uploaded(farm: "Farm", catalog: "Catalog") -> dict[Path, str]:
    """Uploads what the catalog's briefs name on this machine; each file's name at the farm.

    Raises `CatalogError` for a row that is wrong, which ends it before anything is uploaded.
    """
    files = {path for brief in briefs(catalog) for path in _local_files(brief, catalog.path)}
    return {path: farm.upload(path) for path in sorted(files)}


def briefs(catalog: "Catalog") -> "Iterator[Brief]":
    """Raises `CatalogError` where the file is no longer what was checked."""
    from trackfarm.catalog import Brief, CatalogError

    for row in catalog.rows():
        if not isinstance(row.outcome, Brief):
            raise CatalogError(row.outcome)
        yield row.outcome


def with_uploads(brief: "Brief", catalog: Path, names: Mapping[Path, str]) -> "Brief":
    """The brief as the farm understands it: uploads instead of local files."""
    from trackfarm.catalog.sources import is_local, local_file, source_fields

    changes: dict[str, str] = {
        field: names[local_file(reference, catalog)]
        for field, reference in source_fields(brief)
        if is_local(reference)
    }
    return brief.model_copy(update=changes) if changes else brief


def _local_files(brief: "Brief", catalog: Path) -> Iterator[Path]:
    from trackfarm.catalog.sources import is_local, local_file, source_fields

    for _, reference in source_fields(brief):
        if is_local(reference):
            yield local_file(reference, catalog)
