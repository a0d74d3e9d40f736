"""Object storage for artifacts: a directory served by the scheduler or an S3 bucket, behind one
interface."""

from trackfarm_scheduler.objects.base import (
    ObjectMissing,
    ObjectStat,
    ObjectStore,
    ObjectStoreError,
    SignedUrl,
)
from trackfarm_scheduler.objects.factory import open_store

__all__ = [
    "ObjectMissing",
    "ObjectStat",
    "ObjectStore",
    "ObjectStoreError",
    "SignedUrl",
    "open_store",
]
