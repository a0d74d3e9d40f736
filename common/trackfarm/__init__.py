"""Turn a catalog of music briefs into finished tracks on rented GPUs."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trackfarm.catalog import Catalog, CatalogError
    from trackfarm.client.errors import FarmError, FarmUnreachable, RequestRefused
    from trackfarm.sdk.download import ForeignExport
    from trackfarm.sdk.farm import AsyncFarm, Farm

__version__ = "0.1.0"
__all__ = [
    "AsyncFarm",
    "Catalog",
    "CatalogError",
    "Farm",
    "FarmError",
    "FarmUnreachable",
    "ForeignExport",
    "RequestRefused",
    "__version__",
]
_HOMES = {
    "AsyncFarm": "trackfarm.sdk.farm",
    "Catalog": "trackfarm.catalog",
    "CatalogError": "trackfarm.catalog",
    "Farm": "trackfarm.sdk.farm",
    "FarmError": "trackfarm.client.errors",
    "FarmUnreachable": "trackfarm.client.errors",
    "ForeignExport": "trackfarm.sdk.download",
    "RequestRefused": "trackfarm.client.errors",
}


def __getattr__(name: str) -> Any:
    """Import the SDK on first use, so that processes without it start faster."""
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
