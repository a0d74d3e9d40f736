"""HTTP client of the farm's API, one method per call; `trackfarm.sdk` builds objects on it."""

from trackfarm.client.clients import Client
from trackfarm.client.endings import (
    DownloadFailed,
    FarmError,
    FarmUnreachable,
    NotAFarm,
    Refused,
    UnsafeAddress,
)

__all__ = [
    "Client",
    "DownloadFailed",
    "FarmError",
    "FarmUnreachable",
    "NotAFarm",
    "Refused",
    "UnsafeAddress",
]
