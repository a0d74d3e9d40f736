"""Contract of every object store. Workers see only URLs, so these tests also use plain HTTP."""

import base64
import hashlib
import random
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.contract.clients import HOUR, md5, put, read, send, uploaded
from tests.contract.subjects import StoreSubject
from trackfarm.client.requests import content_of
from trackfarm_scheduler.objects import ObjectMissing, ObjectStore
from trackfarm_scheduler.objects.base import CHUNK_BYTES
from trackfarm_scheduler.objects.keys import UnsafeKey, upload_key
from trackfarm_scheduler.objects.s3_race_probe import overtake

EIGHT = {"Content-Length": "8"}


@pytest.mark.parametrize("body", [b"", b"x", b"sound" * 1000], ids=["empty", "one", "many"])
def test_put_object_is_stored(store: ObjectStore, key: str, body: bytes) -> None:
    before = datetime.now(UTC)
    answer = put(store, key, body)
    assert answer.is_success
    assert answer.headers["etag"].strip('"') == md5(body)

    stat = store.stat(key)
    assert stat is not None
    assert (stat.key, stat.size, stat.md5_hex) == (key, len(body), md5(body))
    # Some stores keep only whole seconds.
    assert timedelta(seconds=-2) < stat.modified_at - before < timedelta(minutes=1)
    assert read(store, key) == body
    fetched = send("GET", store.presign_get(key, expires=HOUR))
    assert (fetched.status_code, fetched.content) == (200, body)


def test_upload_of_a_client_is_stored_whole(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "song.wav").write_bytes(random.Random(3).randbytes(3_000_000))
    content = content_of(tmp_path / "song.wav")
    key = upload_key("operator", content.sha256)
    signed = store.presign_put(key, expires=HOUR)
    assert uploaded(tmp_path / "song.wav", content, signed).is_success
    assert read(store, key) == (tmp_path / "song.wav").read_bytes()
    fetched = send("GET", store.presign_get(key, expires=HOUR))
    assert hashlib.sha256(fetched.content).hexdigest() == content.sha256


def test_upload_damaged_on_its_way_is_refused(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "song.wav").write_bytes(b"as it should be")
    content = content_of(tmp_path / "song.wav")
    (tmp_path / "song.wav").write_bytes(b"as it should b!")
    key = upload_key("operator", content.sha256)
    signed = store.presign_put(key, expires=HOUR)
    assert uploaded(tmp_path / "song.wav", content, signed).is_client_error
    assert store.stat(key) is None


def test_object_never_put_is_missing(store: ObjectStore, key: str) -> None:
    assert store.stat(key) is None
    assert send("GET", store.presign_get(key, expires=HOUR)).status_code == 404
    with pytest.raises(ObjectMissing), store.open(key):
        pass


def test_put_replaces_an_earlier_object(store: ObjectStore, key: str) -> None:
    put(store, key, b"the first body")
    put(store, key, b"the second")
    stat = store.stat(key)
    assert stat is not None
    assert (stat.size, stat.md5_hex) == (10, md5(b"the second"))
    assert read(store, key) == b"the second"


def test_put_once_is_not_replaced(store: ObjectStore, key: str) -> None:
    signed = store.presign_put(key, expires=HOUR, once=True)
    assert send("PUT", signed, b"the first").is_success
    assert send("PUT", signed, b"another").status_code == 412
    assert read(store, key) == b"the first"
    store.remove([key])
    assert send("PUT", signed, b"again").is_success, "the URL is valid again after the removal"


def test_put_once_without_its_condition_is_refused(store: ObjectStore, key: str) -> None:
    put(store, key, b"the first")
    signed = store.presign_put(key, expires=HOUR, once=True)
    bare = signed.url.replace("&once=1", "")
    for url in {signed.url, bare}:
        answer = httpx.put(url, content=b"another", headers={"X-Other": "1"})
        assert answer.status_code in (403, 412)
    assert read(store, key) == b"the first"


def test_writes_once_is_known_after_check(store_subject: StoreSubject) -> None:
    assert store_subject.store.writes_once is store_subject.writes_once


def test_put_once_keeps_the_first_of_two_concurrent_puts(store: ObjectStore, key: str) -> None:
    """Swift checks the condition when a PUT begins, which shows that the test detects
    violations."""
    signed = store.presign_put(key, expires=HOUR, once=True)
    trust = ssl.create_default_context()
    assert overtake(signed.url, signed.headers, first=b"first", second=b"later", trust=trust) == 200
    assert (read(store, key) == b"first") is store.writes_once


def test_put_once_does_not_replace_an_object_stored_meanwhile(store: ObjectStore, key: str) -> None:
    """The PUT begins while no object exists, and ends after the object has been verified."""
    signed = store.presign_put(key, expires=HOUR, once=True)

    def overtaken() -> Iterator[bytes]:
        yield b"swap"
        assert send("PUT", signed, b"the first").is_success
        yield b"ped!"

    httpx.put(signed.url, content=overtaken(), headers={**signed.headers, **EIGHT})
    assert read(store, key) == b"the first" or not store.writes_once


def test_large_object_streams_in_and_out(store: ObjectStore, key: str) -> None:
    body = random.Random(7).randbytes(30_000_000)
    signed = store.presign_put(key, expires=HOUR)
    pieces = (body[start : start + 100_000] for start in range(0, len(body), 100_000))
    headers = {**signed.headers, "Content-Length": str(len(body))}
    assert httpx.put(signed.url, content=pieces, headers=headers, timeout=60).is_success
    with store.open(key) as chunks:
        received = list(chunks)
    assert max(map(len, received)) <= CHUNK_BYTES
    assert b"".join(received) == body
    stat = store.stat(key)
    assert stat is not None
    assert stat.md5_hex == md5(body)


@pytest.mark.parametrize("name", ["Café ночь 夜.mp3", "a b+c&d=e?f#g%20h'i\"j.mp3"])
def test_keys_may_have_any_printable_character(store: ObjectStore, key: str, name: str) -> None:
    prefix = f"{key}-folder/"
    assert put(store, prefix + name, b"x").is_success
    assert send("GET", store.presign_get(prefix + name, expires=HOUR)).content == b"x"
    assert [stat.key for stat in store.list(prefix)] == [prefix + name]
    store.remove([prefix + name])
    assert store.stat(prefix + name) is None


@pytest.mark.parametrize("bad", ["", "/a", "a/", "a//b", "a/../b", ".", "a\\b", "a\nb", "a\x00"])
def test_unsafe_keys_are_refused(store: ObjectStore, bad: str) -> None:
    with pytest.raises(UnsafeKey):
        store.presign_put(bad, expires=HOUR)
    with pytest.raises(UnsafeKey):
        store.presign_get(bad, expires=HOUR)
    with pytest.raises(UnsafeKey):
        store.stat(bad)
    with pytest.raises(UnsafeKey), store.open(bad):
        pass
    with pytest.raises(UnsafeKey):
        store.remove([bad])


def test_put_with_another_md5_is_refused(store: ObjectStore, key: str) -> None:
    url = store.presign_put(key, expires=HOUR).url

    def put_with_md5_of(body: bytes) -> httpx.Response:
        text = base64.b64encode(bytes.fromhex(md5(body))).decode()
        return httpx.put(url, content=b"sound", headers={"Content-MD5": text})

    assert put_with_md5_of(b"noise").is_client_error
    assert store.stat(key) is None
    assert put_with_md5_of(b"sound").is_success


def test_interrupted_put_leaves_nothing(store: ObjectStore, key: str) -> None:
    url = urlsplit(store.presign_put(key, expires=HOUR).url)
    head = (
        f"PUT {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: 900000\r\n"
    )
    with socket.create_connection((url.hostname, url.port), timeout=30) as connection:
        connection.sendall(head.encode() + b"\r\n" + b"x" * 450_000)
        connection.shutdown(socket.SHUT_WR)
        # The server has handled the end of the body when it closes the connection.
        while connection.recv(65536):
            pass
    assert store.stat(key) is None
    assert list(store.list(key)) == []


def test_concurrent_puts_of_one_key_leave_one_whole_body(store: ObjectStore, key: str) -> None:
    bodies = [bytes([digit]) * 300_000 for digit in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda body: put(store, key, body), bodies))
    assert any(answer.is_success for answer in answers)
    content = read(store, key)
    assert content in bodies
    stat = store.stat(key)
    assert stat is not None
    assert (stat.size, stat.md5_hex) == (len(content), md5(content))


def test_concurrent_puts_and_removes_of_other_keys(store: ObjectStore, key: str) -> None:
    keys = [key.replace("first", f"attempt-{number}") for number in range(24)]

    def cycle(one: str) -> None:
        assert put(store, one, one.encode()).is_success
        store.remove([one])
        assert store.stat(one) is None
        assert put(store, one, one.encode()).is_success

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(cycle, keys))
    assert {stat.key for stat in store.list(key.rpartition("/")[0])} == set(keys)


def test_remove_deletes_only_the_given_keys(store: ObjectStore, key: str) -> None:
    keys = [f"{key}.{number}" for number in range(5)]
    for one in keys:
        put(store, one, b"x")
    store.remove(one for one in [*keys[:3], f"{key}.never"])
    assert [store.stat(one) is None for one in keys] == [True] * 3 + [False] * 2
    store.remove(keys)
    store.remove(keys)
    store.remove([])
    assert all(store.stat(one) is None for one in keys)


def test_list_by_prefix(store: ObjectStore, key: str) -> None:
    base = key.rpartition("/")[0]
    bodies = {f"{base}/{name}": name.encode() for name in ("a", "ab", "b/a", "b/c/d", "ba")}
    for one, body in bodies.items():
        put(store, one, body)

    def found(prefix: str) -> dict[str, tuple[int, str | None]]:
        return {stat.key: (stat.size, stat.md5_hex) for stat in store.list(prefix)}

    expected = {one: (len(body), md5(body)) for one, body in bodies.items()}
    assert found(f"{base}/") == expected
    assert found(f"{base}/a").keys() == {f"{base}/a", f"{base}/ab"}
    assert found(f"{base}/b/").keys() == {f"{base}/b/a", f"{base}/b/c/d"}
    assert found(f"{base}/z") == {}
    assert expected.items() <= found("").items()
    assert found("../") == {}


def test_put_of_a_local_file(store: ObjectStore, key: str, tmp_path: Path) -> None:
    for body in (b"first", b"second" * CHUNK_BYTES, b""):
        (tmp_path / "song").write_bytes(body)
        store.put(key, tmp_path / "song")
        stat = store.stat(key)
        assert stat is not None
        assert (stat.size, read(store, key)) == (len(body), body)
    with pytest.raises(UnsafeKey):
        store.put("../song", tmp_path / "song")


def test_check_leaves_no_trace_and_may_be_repeated(store: ObjectStore) -> None:
    before = {stat.key for stat in store.list()}
    store.check()
    assert {stat.key for stat in store.list()} == before
