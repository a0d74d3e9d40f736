"""Catalogs of music briefs: reading, validation, and the identity of tracks."""

from trackfarm.catalog.brief import Brief
from trackfarm.catalog.catalog import Catalog, CatalogCheck, check_catalog, open_catalog
from trackfarm.catalog.error_messages import brief_problems
from trackfarm.catalog.errors import CatalogError, CatalogProblem, FieldProblem
from trackfarm.catalog.header import CatalogRow
from trackfarm.catalog.parsed import MAX_TRACKS

__all__ = [
    "MAX_TRACKS",
    "Brief",
    "Catalog",
    "CatalogCheck",
    "CatalogError",
    "CatalogProblem",
    "CatalogRow",
    "FieldProblem",
    "brief_problems",
    "check_catalog",
    "open_catalog",
]
