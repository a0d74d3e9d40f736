"""Locations of the source audio that a brief names."""

from datetime import timedelta

from trackfarm.catalog import Brief
from trackfarm.catalog.sources import OBJECT, UPLOAD, is_url
from trackfarm_scheduler.objects.keys import upload_key
from trackfarm_scheduler.objects.port import ObjectStore


def source_key(reference: str, owner: str) -> str:
    """Return the object key that an owner's `upload:` or `object:` reference names. Raises
    UnsafeKey."""
    if reference.startswith(UPLOAD):
        return upload_key(owner, reference.removeprefix(UPLOAD))
    return reference.removeprefix(OBJECT)


def source_urls(
    objects: ObjectStore, brief: Brief, owner: str, *, expires: timedelta
) -> dict[str, str]:
    """Return the URL of each source of an accepted brief, by its field: the customer's own address,
    or a signed URL into the store."""
    return {
        field: reference
        if is_url(reference)
        else objects.presign_get(source_key(reference, owner), expires=expires).url
        for field, reference in brief.sources()
    }
