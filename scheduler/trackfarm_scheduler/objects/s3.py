"""Objects in one bucket of an S3 store: AWS, MinIO, Ceph, Swift, Cloudflare R2 and similar."""

import hashlib
import io
import re
import secrets
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote, urlsplit

import urllib3
from minio import Minio
from minio.datatypes import Object
from minio.deleteobjects import DeleteObject
from minio.error import MinioException, S3Error

from trackfarm.net.tls import trust_ca_file
from trackfarm_scheduler.objects.base import (
    CHUNK_BYTES,
    ObjectMissing,
    ObjectStat,
    ObjectStoreError,
    SignedUrl,
)
from trackfarm_scheduler.objects.directory_urls import whole_seconds
from trackfarm_scheduler.objects.keys import checked_key
from trackfarm_scheduler.objects.s3_presign import Signer, presigned
from trackfarm_scheduler.objects.s3_race_probe import overtake

_TIMEOUT = urllib3.Timeout(connect=5, read=30)
_PROBE = b"trackfarm"
_MD5 = re.compile(r"[0-9a-f]{32}")
_NOT_REPLACED = (HTTPStatus.PRECONDITION_FAILED, HTTPStatus.CONFLICT)
IF_NONE_MATCH: Mapping[str, str] = MappingProxyType({"if-none-match": "*"})
PROBE_LIFETIME = timedelta(minutes=1)
_ALREADY_OURS = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")


def utc_now() -> datetime:
    """Return the current time; the default clock."""
    return datetime.now(UTC)


class S3Store:
    """An `ObjectStore` in a bucket. It does not rely on lifecycle rules, and on conditional writes
    only where `check` has verified them (`writes_once`).

    Args:
        endpoint: URL of the service, such as `https://s3.eu-central-1.amazonaws.com`.
        bucket: its name; `check` creates it if the keys permit.
        access_key: of a user with permission to read, write, list and delete in the bucket.
        secret_key: of the same user.
        region: always explicit, so that signing makes no request.
        external_endpoint: URL of the service for workers, when it differs; signed URLs use it,
            since the host is part of the signature.
        now: the clock that dates signatures.
        ca_file: PEM file of an authority to trust beside the public ones.

    Raises:
        ValueError: an endpoint is not an http(s) URL of a bare host.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        bucket: str,
        access_key: str,
        secret_key: str,
        region: str,
        external_endpoint: str | None = None,
        now: Callable[[], datetime] = utc_now,
        ca_file: Path | None = None,
    ) -> None:
        self._trust = _trust(ca_file)
        http = self._http = _http(self._trust)

        def client(url: str) -> Minio:
            host, secure = _host(url)
            return Minio(host, access_key, secret_key, None, secure, region, http)

        self._keys = Signer(access_key, secret_key, region)
        self._endpoint = endpoint
        self._bucket = bucket
        self._client = client(endpoint)
        self._signer = client(external_endpoint) if external_endpoint else self._client
        self._now = now
        self._etag_is_md5 = True
        self._condition: Mapping[str, str] = IF_NONE_MATCH
        self.writes_once = True

    def presign_put(self, key: str, *, expires: timedelta, once: bool = False) -> SignedUrl:
        if once and self._condition:
            return self._conditional(self._signer, key, expires)
        return self._signed("PUT", key, expires, {})

    def presign_get(
        self, key: str, *, expires: timedelta, filename: str | None = None
    ) -> SignedUrl:
        if filename is None:
            return self._signed("GET", key, expires, {})
        disposition = f"attachment; filename*=utf-8''{quote(filename, safe='')}"
        return self._signed("GET", key, expires, {"response-content-disposition": disposition})

    def stat(self, key: str) -> ObjectStat | None:
        with self._translated(f"look at {key}"):
            try:
                response = self._client.stat_object(self._bucket, checked_key(key))
            except S3Error as error:
                if error.code in ("NoSuchKey", "NoSuchObject"):
                    return None
                raise
        return self._stat_of(key, response)

    @contextmanager
    def open(self, key: str) -> Iterator[Iterator[bytes]]:
        with self._translated(f"read {key}"):
            try:
                response = self._client.get_object(self._bucket, checked_key(key))
            except S3Error as error:
                if error.code == "NoSuchKey":
                    raise ObjectMissing(key) from error
                raise
        try:
            yield self._chunks(key, response)
        finally:
            response.close()
            response.release_conn()

    def put(self, key: str, file: Path) -> None:
        with self._translated(f"write {key}"):
            self._client.fput_object(self._bucket, checked_key(key), str(file))

    def remove(self, keys: Iterable[str]) -> None:
        requests = (DeleteObject(checked_key(key)) for key in keys)
        with self._translated("remove objects"):
            errors = [
                error
                for error in self._client.remove_objects(self._bucket, requests)
                if error.code != "NoSuchKey"
            ]
        if errors:
            first = f"{errors[0].name}: {errors[0].code} {errors[0].message}"
            raise ObjectStoreError(f"could not remove {len(errors)} objects, the first is {first}")

    def list(self, prefix: str = "") -> Iterator[ObjectStat]:
        with self._translated(f"list {prefix!r}"):
            for item in self._client.list_objects(self._bucket, prefix, recursive=True):
                yield self._stat_of(str(item.object_name), item)

    def check(self) -> None:
        """Create the bucket; write, stat and delete one small object.

        It also learns from that object whether this bucket's ETags are MD5s (in a bucket encrypted
        with KMS they look like one and are not), and whether it honours conditional writes.
        """
        probe = f"checks/{secrets.token_hex(16)}"
        with self._translated(
            "use (TRACKFARM_SCHEDULER_OBJECTS_URL, _ACCESS_KEY, _SECRET_KEY, _REGION)"
        ):
            self._ensure_bucket()
            upload = self._client.put_object(self._bucket, probe, io.BytesIO(_PROBE), len(_PROBE))
            self._client.stat_object(self._bucket, probe)
            self._client.remove_object(self._bucket, probe)
            self._learn_condition(probe)
            self._client.remove_object(self._bucket, probe)
        md5_hex = hashlib.md5(_PROBE, usedforsecurity=False).hexdigest()
        self._etag_is_md5 = _bare(upload.etag) == md5_hex

    def _learn_condition(self, probe: str) -> None:
        """Send two conditional PUTs that begin together and a third: only the first to end may be
        stored. A store without conditions, or one that checks them only when a PUT begins, has
        replaced it."""
        signed = self._conditional(self._client, probe, PROBE_LIFETIME)
        expected = _PROBE.upper()
        first_status = overtake(
            signed.url, signed.headers, first=expected, second=_PROBE, trust=self._trust
        )
        third_status = self._http.request(
            "PUT", signed.url, body=_PROBE, headers=dict(signed.headers), retries=False
        ).status
        stored = b""
        with suppress(ObjectMissing), self.open(probe) as chunks:
            stored = b"".join(chunks)
        self.writes_once = third_status in _NOT_REPLACED and stored == expected
        if not {first_status, third_status} & {*_NOT_REPLACED, HTTPStatus.OK}:
            self._condition = {}

    def _ensure_bucket(self) -> None:
        if self._client.bucket_exists(self._bucket):
            return
        try:
            self._client.make_bucket(self._bucket)
        except S3Error as error:
            # Another scheduler was faster; a bucket of another account fails at the probe.
            if error.code not in _ALREADY_OURS:
                raise

    def _signed(
        self, method: str, key: str, expires: timedelta, query: dict[str, str]
    ) -> SignedUrl:
        lifetime = timedelta(seconds=whole_seconds(expires))
        signed_at = self._now()
        url = self._signer.get_presigned_url(
            method,
            self._bucket,
            checked_key(key),
            expires=lifetime,
            request_date=signed_at,
            extra_query_params=dict(query),
        )
        return SignedUrl(url=url, expires_at=signed_at + lifetime)

    def _conditional(self, client: Minio, key: str, expires: timedelta) -> SignedUrl:
        lifetime, signed_at = whole_seconds(expires), self._now()
        unsigned = client.get_presigned_url("PUT", self._bucket, checked_key(key))
        url = presigned(
            self._keys,
            "PUT",
            unsigned.partition("?")[0],
            headers=self._condition,
            signed_at=signed_at,
            expires=lifetime,
        )
        until = signed_at + timedelta(seconds=lifetime)
        return SignedUrl(url=url, expires_at=until, headers=self._condition)

    def _stat_of(self, key: str, item: Object) -> ObjectStat:
        etag = _bare(item.etag)
        return ObjectStat(
            key=key,
            size=item.size or 0,
            etag=etag,
            md5_hex=etag if self._etag_is_md5 and _MD5.fullmatch(etag) else None,
            modified_at=item.last_modified or datetime.fromtimestamp(0, UTC),
        )

    def _chunks(self, key: str, response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        with self._translated(f"read {key}"):
            yield from response.stream(CHUNK_BYTES)

    @contextmanager
    def _translated(self, action: str) -> Iterator[None]:
        try:
            yield
        except (MinioException, urllib3.exceptions.HTTPError) as error:
            raise ObjectStoreError(
                f"cannot {action} in bucket {self._bucket} at {self._endpoint}: {error}"
            ) from error


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file is not None:
        trust_ca_file(context, ca_file, setting="TRACKFARM_SCHEDULER_CA_FILE")
    return context


def _http(trust: ssl.SSLContext) -> urllib3.PoolManager:
    return urllib3.PoolManager(
        maxsize=10,
        timeout=_TIMEOUT,
        ssl_context=trust,
        # Any method: the bulk delete is a POST, and every request here is idempotent.
        retries=urllib3.Retry(
            total=3, backoff_factor=0.2, status_forcelist=[500, 502, 503, 504], allowed_methods=None
        ),
    )


def _host(url: str) -> tuple[str, bool]:
    """Return the host with its port, and whether to use TLS."""
    parts = urlsplit(url)
    extras = parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc
    if parts.scheme not in ("http", "https") or not parts.hostname or extras:
        shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        raise ValueError(
            f"an S3 endpoint must be http(s)://host[:port] without a path, got {shown!r}"
        )
    return parts.netloc, parts.scheme == "https"


def _bare(etag: str | None) -> str:
    return (etag or "").strip('"').lower()
