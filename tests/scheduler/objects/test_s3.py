"""Behaviour of the S3 store beyond the contract of all stores."""

from datetime import timedelta

import httpx
import pytest

from tests.servers.process import free_port
from tests.servers.s3 import S3Access
from trackfarm_scheduler.objects import ObjectStoreError
from trackfarm_scheduler.objects.s3 import S3Store

HOUR = timedelta(hours=1)


def at(access: S3Access, *, bucket: str = "farm-s3", external: str | None = None) -> S3Store:
    return S3Store(
        endpoint=access.endpoint,
        bucket=bucket,
        access_key=access.access_key,
        secret_key=access.secret_key,
        region=access.region,
        external_endpoint=external,
    )


def nowhere() -> S3Access:
    return S3Access(f"http://127.0.0.1:{free_port()}", "key", "hidden-secret", "us-east-1")


def test_presign_makes_urls_for_the_external_host_without_a_request() -> None:
    store = at(nowhere(), external="https://s3.example.com:9443")
    for signed in (store.presign_put("a", expires=HOUR), store.presign_get("a", expires=HOUR)):
        url = httpx.URL(signed.url)
        assert (url.scheme, url.host, url.port) == ("https", "s3.example.com", 9443)
        assert url.path == "/farm-s3/a"


def test_presigned_url_works_at_the_external_host(swift: S3Access) -> None:
    external = swift.endpoint.replace("127.0.0.1", "localhost")
    store = at(swift, external=external)
    store.check()
    signed = store.presign_put("a", expires=HOUR)
    assert httpx.put(signed.url, content=b"x").is_success
    moved = signed.url.replace("localhost", "127.0.0.1")
    assert httpx.put(moved, content=b"y").status_code == 403


def test_check_creates_the_bucket_once(swift: S3Access) -> None:
    store = at(swift, bucket="farm-created")
    with pytest.raises(ObjectStoreError, match="NoSuchBucket"):
        list(store.list())
    store.check()
    assert list(store.list()) == []
    at(swift, bucket="farm-created").check()


def test_check_names_the_settings_and_not_a_wrong_secret(swift: S3Access) -> None:
    wrong = S3Access(swift.endpoint, swift.access_key, "hidden-secret", swift.region)
    with pytest.raises(ObjectStoreError, match="_SECRET_KEY") as caught:
        at(wrong).check()
    assert "hidden-secret" not in str(caught.value)


def test_check_reports_an_unreachable_store_soon() -> None:
    store = at(nowhere())
    where = r"farm-s3 at http://127\.0\.0\.1"
    with pytest.raises(ObjectStoreError, match=where):
        store.check()
    with pytest.raises(ObjectStoreError, match=where):
        store.remove(["a"])
    with pytest.raises(ObjectStoreError, match=where), store.open("a"):
        pass


@pytest.mark.parametrize(
    "endpoint", ["host:9000", "ftp://host", "http://", "http://host/path", "http://me:hidden@host"]
)
def test_endpoint_is_a_bare_host(endpoint: str) -> None:
    with pytest.raises(ValueError, match="S3 endpoint") as caught:
        at(S3Access(endpoint, "key", "secret", "us-east-1"))
    assert "hidden" not in str(caught.value)
