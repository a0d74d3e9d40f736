"""Where the music that tracks are made from lies, by the word of a brief."""

from datetime import timedelta

from trackfarm.catalog import Brief
from trackfarm.catalog.sources import OBJECT, UPLOAD, is_url, source_fields
from trackfarm_scheduler.objects.keys import upload_key
from trackfarm_scheduler.objects.port import ObjectStore


def source_key(reference: str, owner: str) -> str:
    """The object that an `upload:` or `object:` of this owner names. Raises UnsafeKey."""
    if reference.startswith(UPLOAD):
        return upload_key(owner, reference.removeprefix(UPLOAD))
    return reference.removeprefix(OBJECT)


def source_urls(
    objects: ObjectStore, brief: Brief, owner: str, *, expires: timedelta
) -> dict[str, str]:
    """Where a worker fetches each source of a brief that was accepted, by its field: at the
    customer's own address, or in the store by a signed URL."""
    return {
        field: reference
        if is_url(reference)
        else objects.presign_get(source_key(reference, owner), expires=expires).url
        for field, reference in source_fields(brief)
    }
