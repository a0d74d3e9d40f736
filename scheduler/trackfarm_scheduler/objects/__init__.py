"""Object storage for artifacts: a directory served by the scheduler or an S3 bucket, behind one
interface."""

from trackfarm_scheduler.objects.opening import open_store
from trackfarm_scheduler.objects.port import (
    ObjectMissing,
    ObjectStat,
    ObjectStore,
    ObjectStoreError,
    SignedUrl,
)

__all__ = [
    "ObjectMissing",
    "ObjectStat",
    "ObjectStore",
    "ObjectStoreError",
    "SignedUrl",
    "open_store",
]
