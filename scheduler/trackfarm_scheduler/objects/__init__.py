"""Where artifacts are kept: a directory behind the scheduler or an S3 bucket, seen as one port."""

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
