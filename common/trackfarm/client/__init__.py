"""The farm over HTTP, call by call; `trackfarm.sdk` makes a farm, jobs and tracks of them."""

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
