"""Factory: creates an object store from the settings, and locates in it the source audio that a brief
names."""

from datetime import timedelta
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from trackfarm.catalog import Brief
from trackfarm.catalog.source_refs import OBJECT, UPLOAD, is_url
from trackfarm_scheduler.objects.base import ObjectStore
from trackfarm_scheduler.objects.directory import DEFAULT_MAX_BYTES, DirectoryStore
from trackfarm_scheduler.objects.keys import upload_key
from trackfarm_scheduler.objects.s3 import S3Store

DEFAULT_REGION = "us-east-1"


def open_store(
    url: str,
    *,
    access_key: str = "",
    secret_key: str = "",
    region: str = DEFAULT_REGION,
    external_endpoint: str | None = None,
    base_url: str | None = None,
    signing_secret: bytes | None = None,
    ca_file: Path | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> DirectoryStore | S3Store:
    """Return the store that a URL names. Makes no request: call `check` before use.

    * `file:///var/lib/trackfarm` is a directory; it needs `base_url` (URL of the scheduler for
      workers) and `signing_secret`, and its router in the scheduler's application. It refuses
      objects over `max_bytes`; in a bucket, an object's size is known only after its upload.
    * `s3://bucket` is a bucket at AWS in `region`.
    * `http://host:9000/bucket` and `https://…` are a bucket of any other S3 store; `ca_file` (PEM)
      is an authority to trust beside the public ones.

    Raises:
        SettingsError: `ca_file` is not a certificate.
        ValueError: the URL names no store or carries credentials, or a setting is missing; the
            message names the setting and never repeats a credential.
    """
    parts = urlsplit(url)
    _refuse_extras(parts)
    if parts.scheme == "file":
        return _directory(parts, base_url, signing_secret, max_bytes)
    endpoint, bucket = _bucket(parts, region)
    if not access_key or not secret_key:
        raise ValueError(
            "an S3 store needs TRACKFARM_SCHEDULER_OBJECTS_ACCESS_KEY"
            " and TRACKFARM_SCHEDULER_OBJECTS_SECRET_KEY"
        )
    return S3Store(
        endpoint=endpoint,
        bucket=bucket,
        access_key=access_key,
        secret_key=secret_key,
        region=region,
        external_endpoint=external_endpoint,
        ca_file=ca_file,
    )


def _refuse_extras(parts: SplitResult) -> None:
    if parts.username is not None or parts.password is not None:
        raise ValueError(
            "TRACKFARM_SCHEDULER_OBJECTS_URL must not carry credentials:"
            " use TRACKFARM_SCHEDULER_OBJECTS_ACCESS_KEY"
            " and TRACKFARM_SCHEDULER_OBJECTS_SECRET_KEY"
        )
    if parts.query or parts.fragment:
        raise ValueError("TRACKFARM_SCHEDULER_OBJECTS_URL must not have a query or a fragment")


def _directory(
    parts: SplitResult, base_url: str | None, signing_secret: bytes | None, max_bytes: int
) -> DirectoryStore:
    root = Path(unquote(parts.path))
    if parts.netloc not in ("", "localhost") or not root.is_absolute() or root == Path("/"):
        raise ValueError(
            "TRACKFARM_SCHEDULER_OBJECTS_URL must be file:///absolute/path for a directory"
        )
    if base_url is None or signing_secret is None:
        raise ValueError("a directory store needs the scheduler's base URL and a signing secret")
    return DirectoryStore(root, base_url=base_url, secret=signing_secret, max_bytes=max_bytes)


def _bucket(parts: SplitResult, region: str) -> tuple[str, str]:
    bucket = parts.netloc if parts.scheme == "s3" else parts.path.strip("/")
    rest = parts.path.strip("/") if parts.scheme == "s3" else ""
    if parts.scheme not in ("s3", "http", "https") or not bucket or "/" in bucket or rest:
        raise ValueError(
            "TRACKFARM_SCHEDULER_OBJECTS_URL must be file:///path, s3://bucket"
            f" or http(s)://host/bucket, got {parts.geturl()!r}"
        )
    if parts.scheme == "s3":
        return f"https://s3.{region}.amazonaws.com", bucket
    return f"{parts.scheme}://{parts.netloc}", bucket


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
