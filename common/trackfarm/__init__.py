"""Turn a catalog of music briefs into finished tracks on rented GPUs."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trackfarm.catalog import Catalog, CatalogError
    from trackfarm.client.endings import FarmError, FarmUnreachable, Refused
    from trackfarm.sdk.farm import AsyncFarm, Farm
    from trackfarm.sdk.manifest import ForeignExport

__version__ = "0.1.0"
__all__ = [
    "AsyncFarm",
    "Catalog",
    "CatalogError",
    "Farm",
    "FarmError",
    "FarmUnreachable",
    "ForeignExport",
    "Refused",
    "__version__",
]
_HOMES = {
    "AsyncFarm": "trackfarm.sdk.farm",
    "Catalog": "trackfarm.catalog",
    "CatalogError": "trackfarm.catalog",
    "Farm": "trackfarm.sdk.farm",
    "FarmError": "trackfarm.client.endings",
    "FarmUnreachable": "trackfarm.client.endings",
    "ForeignExport": "trackfarm.sdk.manifest",
    "Refused": "trackfarm.client.endings",
}


def __getattr__(name: str) -> Any:
    """Import the SDK on first use, so that processes without it start faster."""
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
