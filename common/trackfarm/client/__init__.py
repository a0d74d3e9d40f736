"""HTTP client of the farm's API, one method per call; `trackfarm.sdk` builds objects on it."""

from trackfarm.client.client import Client
from trackfarm.client.errors import (
    DownloadFailed,
    FarmError,
    FarmUnreachable,
    NotAFarm,
    RequestRefused,
    UnsafeAddress,
)

__all__ = [
    "Client",
    "DownloadFailed",
    "FarmError",
    "FarmUnreachable",
    "NotAFarm",
    "RequestRefused",
    "UnsafeAddress",
]
