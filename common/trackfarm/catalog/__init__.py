"""Catalogs of music briefs: reading, validation, and the identity of tracks."""

from trackfarm.catalog.brief import Brief
from trackfarm.catalog.catalog import Catalog, CatalogCheck, check_catalog, open_catalog
from trackfarm.catalog.parsed import MAX_TRACKS
from trackfarm.catalog.problems import CatalogError, Fault, Problem
from trackfarm.catalog.rows import Row
from trackfarm.catalog.wording import brief_faults

__all__ = [
    "MAX_TRACKS",
    "Brief",
    "Catalog",
    "CatalogCheck",
    "CatalogError",
    "Fault",
    "Problem",
    "Row",
    "brief_faults",
    "check_catalog",
    "open_catalog",
]
