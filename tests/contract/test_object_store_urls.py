"""Contract of every object store: its signed URLs, as workers and customers use them."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import httpx
import pytest

from tests.contract.clients import HOUR, put, read, send, tampered
from tests.contract.subjects import StoreSubject
from trackfarm_scheduler.objects import ObjectStore

REFUSED_METHOD = (403, 405)


def test_signed_url_says_when_it_expires(store_subject: StoreSubject, key: str) -> None:
    now = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    store = store_subject.at(now)
    assert store.presign_put(key, expires=HOUR).expires_at == now + HOUR
    assert store.presign_get(key, expires=HOUR).expires_at == now + HOUR


@pytest.mark.parametrize("lifetime", [timedelta(0), timedelta(days=-1), timedelta(days=8)])
def test_signed_url_lifetime_is_bounded(store: ObjectStore, key: str, lifetime: timedelta) -> None:
    with pytest.raises(ValueError, match="1 second to 7 days"):
        store.presign_put(key, expires=lifetime)


def test_signed_url_is_refused_once_expired(store_subject: StoreSubject, key: str) -> None:
    store, old = store_subject.store, store_subject.at(datetime.now(UTC) - 2 * HOUR)
    assert send("PUT", old.presign_put(key, expires=HOUR), b"x").status_code == 403
    assert store.stat(key) is None
    put(store, key, b"x")
    assert send("GET", old.presign_get(key, expires=HOUR)).status_code == 403
    assert send("GET", old.presign_get(key, expires=4 * HOUR)).content == b"x"


def test_signed_url_with_another_signature_is_refused(store: ObjectStore, key: str) -> None:
    url = store.presign_put(key, expires=HOUR).url
    assert httpx.put(tampered(url), content=b"x").status_code == 403
    assert httpx.put(url.partition("?")[0], content=b"x").is_client_error
    assert store.stat(key) is None


def test_signed_url_is_valid_for_one_key_only(store: ObjectStore, key: str) -> None:
    other = key.replace("first", "other")
    put(store, other, b"secret")
    for signed, method in (
        (store.presign_get(key, expires=HOUR), "GET"),
        (store.presign_put(key, expires=HOUR), "PUT"),
    ):
        url = signed.url.replace("first.mp3", "other.mp3")
        assert httpx.request(method, url).status_code == 403
    assert read(store, other) == b"secret"


def test_signed_url_is_valid_for_one_method_only(store: ObjectStore, key: str) -> None:
    put(store, key, b"kept")
    get_url = store.presign_get(key, expires=HOUR).url
    put_url = store.presign_put(key, expires=HOUR).url
    assert httpx.put(get_url, content=b"x").status_code in REFUSED_METHOD
    assert httpx.get(put_url).status_code in REFUSED_METHOD
    assert httpx.delete(put_url).status_code in REFUSED_METHOD
    assert read(store, key) == b"kept"


def test_get_of_a_range(store: ObjectStore, key: str) -> None:
    put(store, key, b"0123456789")
    url = store.presign_get(key, expires=HOUR).url
    answer = httpx.get(url, headers={"Range": "bytes=2-5"})
    assert (answer.status_code, answer.content) == (206, b"2345")
    assert answer.headers["content-range"] == "bytes 2-5/10"


def test_get_names_the_download(store: ObjectStore, key: str) -> None:
    put(store, key, b"x")
    signed = store.presign_get(key, expires=HOUR, filename='Café "live" 1.mp3')
    answer = send("GET", signed)
    assert answer.status_code == 200
    name = quote('Café "live" 1.mp3', safe="")
    assert answer.headers["content-disposition"] == f"attachment; filename*=utf-8''{name}"
