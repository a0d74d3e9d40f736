"""Contract of every object store. Workers see only URLs, so these tests also use plain HTTP."""

import hashlib
import random
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from tests.contract import clients
from tests.contract.clients import HOUR, md5, put, read, send, stat_of
from tests.contract.subjects import StoreSubject
from trackfarm.client.requests import content_of
from trackfarm_scheduler.objects import ObjectMissing, ObjectStore
from trackfarm_scheduler.objects.base import CHUNK_BYTES
from trackfarm_scheduler.objects.keys import UnsafeKey, upload_key
from trackfarm_scheduler.objects.s3_race_probe import overtake

REFUSED_METHOD = (403, 405)


@pytest.mark.parametrize("body", [b"", b"x", b"sound" * 1000], ids=["empty", "one", "many"])
def test_put_object_is_there(store: ObjectStore, key: str, body: bytes) -> None:
    before = datetime.now(UTC)
    answer = put(store, key, body)
    assert answer.is_success
    assert answer.headers["etag"].strip('"') == md5(body)

    stat = stat_of(store, key)
    assert (stat.key, stat.size, stat.md5_hex) == (key, len(body), md5(body))
    # Some stores keep only whole seconds.
    assert timedelta(seconds=-2) < stat.modified_at - before < timedelta(minutes=1)
    assert read(store, key) == body
    fetched = send("GET", store.presign_get(key, expires=HOUR))
    assert (fetched.status_code, fetched.content) == (200, body)


def test_upload_of_a_client_is_there_whole(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "song.wav").write_bytes(random.Random(3).randbytes(3_000_000))
    content = content_of(tmp_path / "song.wav")
    key = upload_key("operator", content.sha256)
    signed = store.presign_put(key, expires=HOUR)
    assert clients.uploaded(tmp_path / "song.wav", content, signed).is_success
    assert read(store, key) == (tmp_path / "song.wav").read_bytes()
    fetched = send("GET", store.presign_get(key, expires=HOUR))
    assert hashlib.sha256(fetched.content).hexdigest() == content.sha256


def test_upload_damaged_on_its_way_is_refused(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "song.wav").write_bytes(b"as it should be")
    content = content_of(tmp_path / "song.wav")
    (tmp_path / "song.wav").write_bytes(b"as it should b!")
    key = upload_key("operator", content.sha256)
    signed = store.presign_put(key, expires=HOUR)
    assert clients.uploaded(tmp_path / "song.wav", content, signed).is_client_error
    assert store.stat(key) is None


def test_missing_object_is_reported(store: ObjectStore, key: str) -> None:
    assert store.stat(key) is None
    assert send("GET", store.presign_get(key, expires=HOUR)).status_code == 404
    with pytest.raises(ObjectMissing), store.open(key):
        pass


def test_second_put_replaces_the_first(store: ObjectStore, key: str) -> None:
    put(store, key, b"the first body")
    put(store, key, b"the second")
    stat = stat_of(store, key)
    assert (stat.size, stat.md5_hex) == (10, md5(b"the second"))
    assert read(store, key) == b"the second"


def test_write_once_url_replaces_nothing(store: ObjectStore, key: str) -> None:
    signed = store.presign_put(key, expires=HOUR, once=True)
    assert send("PUT", signed, b"the first").is_success
    assert send("PUT", signed, b"another").status_code == 412
    assert read(store, key) == b"the first"
    store.remove([key])
    assert send("PUT", signed, b"again").is_success, "the URL is valid again after the removal"


def test_write_once_condition_cannot_be_left_out(store: ObjectStore, key: str) -> None:
    put(store, key, b"the first")
    signed = store.presign_put(key, expires=HOUR, once=True)
    bare = signed.url.replace("&once=1", "")
    for url in {signed.url, bare}:
        answer = httpx.put(url, content=b"another", headers={"X-Other": "1"})
        assert answer.status_code in (403, 412)
    assert read(store, key) == b"the first"


def test_writes_once_is_known_after_the_check(store_subject: StoreSubject) -> None:
    assert store_subject.store.writes_once is store_subject.writes_once


def test_write_once_race_keeps_the_first_to_end(store: ObjectStore, key: str) -> None:
    """Swift, which checks the condition when a PUT begins, shows that the test can fail."""
    signed = store.presign_put(key, expires=HOUR, once=True)
    trust = ssl.create_default_context()
    assert overtake(signed.url, signed.headers, first=b"first", second=b"later", trust=trust) == 200
    assert (read(store, key) == b"first") is store.writes_once


def test_write_once_put_that_is_overtaken_replaces_nothing(store: ObjectStore, key: str) -> None:
    """The PUT begins while no object exists, and ends after the object has been verified."""
    signed = store.presign_put(key, expires=HOUR, once=True)
    clients.put_with_pause(signed, b"swapped!", lambda: send("PUT", signed, b"the first"))
    assert read(store, key) == b"the first" or not store.writes_once


def test_long_track_streams_in_and_out(store: ObjectStore, key: str) -> None:
    body = random.Random(7).randbytes(30_000_000)
    signed = store.presign_put(key, expires=HOUR)
    assert clients.put_in_pieces(signed, body).is_success
    with store.open(key) as chunks:
        received = list(chunks)
    assert max(map(len, received)) <= CHUNK_BYTES
    assert b"".join(received) == body
    stat = stat_of(store, key)
    assert stat.md5_hex == md5(body)


def test_range_of_an_object_can_be_fetched(store: ObjectStore, key: str) -> None:
    put(store, key, b"0123456789")
    url = store.presign_get(key, expires=HOUR).url
    answer = httpx.get(url, headers={"Range": "bytes=2-5"})
    assert (answer.status_code, answer.content) == (206, b"2345")
    assert answer.headers["content-range"] == "bytes 2-5/10"


def test_download_has_the_requested_file_name(store: ObjectStore, key: str) -> None:
    put(store, key, b"x")
    signed = store.presign_get(key, expires=HOUR, filename='Café "live" 1.mp3')
    answer = send("GET", signed)
    assert answer.status_code == 200
    name = quote('Café "live" 1.mp3', safe="")
    assert answer.headers["content-disposition"] == f"attachment; filename*=utf-8''{name}"


@pytest.mark.parametrize("name", ["Café ночь 夜.mp3", "a b+c&d=e?f#g%20h'i\"j.mp3"])
def test_key_may_have_any_printable_character(store: ObjectStore, key: str, name: str) -> None:
    prefix = f"{key}-folder/"
    assert put(store, prefix + name, b"x").is_success
    assert send("GET", store.presign_get(prefix + name, expires=HOUR)).content == b"x"
    assert [stat.key for stat in store.list(prefix)] == [prefix + name]
    store.remove([prefix + name])
    assert store.stat(prefix + name) is None


@pytest.mark.parametrize("bad", ["", "/a", "a/", "a//b", "a/../b", ".", "a\\b", "a\nb", "a\x00"])
def test_unsafe_keys_are_refused(store: ObjectStore, bad: str) -> None:
    uses: list[Callable[[], object]] = [
        lambda: store.presign_put(bad, expires=HOUR),
        lambda: store.presign_get(bad, expires=HOUR),
        lambda: store.stat(bad),
        lambda: read(store, bad),
        lambda: store.remove([bad]),
    ]
    for use in uses:
        with pytest.raises(UnsafeKey):
            use()


def test_signed_url_says_when_it_expires(store_subject: StoreSubject, key: str) -> None:
    now = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    store = store_subject.at(now)
    assert store.presign_put(key, expires=HOUR).expires_at == now + HOUR
    assert store.presign_get(key, expires=HOUR).expires_at == now + HOUR


@pytest.mark.parametrize("lifetime", [timedelta(0), timedelta(days=-1), timedelta(days=8)])
def test_signed_url_lifetime_out_of_bounds_is_refused(
    store: ObjectStore, key: str, lifetime: timedelta
) -> None:
    with pytest.raises(ValueError, match="1 second to 7 days"):
        store.presign_put(key, expires=lifetime)


def test_signed_url_that_expired_is_refused(store_subject: StoreSubject, key: str) -> None:
    store, old = store_subject.store, store_subject.at(datetime.now(UTC) - 2 * HOUR)
    assert send("PUT", old.presign_put(key, expires=HOUR), b"x").status_code == 403
    assert store.stat(key) is None
    put(store, key, b"x")
    assert send("GET", old.presign_get(key, expires=HOUR)).status_code == 403
    assert send("GET", old.presign_get(key, expires=4 * HOUR)).content == b"x"


def test_signed_url_with_a_tampered_signature_is_refused(store: ObjectStore, key: str) -> None:
    url = store.presign_put(key, expires=HOUR).url
    assert httpx.put(clients.tampered(url), content=b"x").status_code == 403
    assert httpx.put(url.partition("?")[0], content=b"x").is_client_error
    assert store.stat(key) is None


def test_signed_url_is_good_for_one_key_only(store: ObjectStore, key: str) -> None:
    other = key.replace("first", "other")
    put(store, other, b"secret")
    for signed, method in (
        (store.presign_get(key, expires=HOUR), "GET"),
        (store.presign_put(key, expires=HOUR), "PUT"),
    ):
        url = signed.url.replace("first.mp3", "other.mp3")
        assert httpx.request(method, url).status_code == 403
    assert read(store, other) == b"secret"


def test_signed_url_is_good_for_one_method_only(store: ObjectStore, key: str) -> None:
    put(store, key, b"kept")
    get_url = store.presign_get(key, expires=HOUR).url
    put_url = store.presign_put(key, expires=HOUR).url
    assert httpx.put(get_url, content=b"x").status_code in REFUSED_METHOD
    assert httpx.get(put_url).status_code in REFUSED_METHOD
    assert httpx.delete(put_url).status_code in REFUSED_METHOD
    assert read(store, key) == b"kept"


def test_put_with_another_md5_is_not_stored(store: ObjectStore, key: str) -> None:
    signed = store.presign_put(key, expires=HOUR)
    assert send("PUT", signed, b"sound", md5_of=b"noise").is_client_error
    assert store.stat(key) is None
    assert send("PUT", signed, b"sound", md5_of=b"sound").is_success


def test_half_upload_leaves_nothing(store: ObjectStore, key: str) -> None:
    clients.begin_upload(store.presign_put(key, expires=HOUR), sent=450_000, promised=900_000)
    assert store.stat(key) is None
    assert list(store.list(key)) == []


def test_concurrent_puts_of_one_key_leave_one_whole_body(store: ObjectStore, key: str) -> None:
    bodies = [bytes([digit]) * 300_000 for digit in range(8)]
    answers = clients.at_once(lambda body: put(store, key, body), bodies)
    assert any(answer.is_success for answer in answers)
    content = read(store, key)
    assert content in bodies
    stat = stat_of(store, key)
    assert (stat.size, stat.md5_hex) == (len(content), md5(content))


def test_concurrent_puts_and_removes_of_neighbours(store: ObjectStore, key: str) -> None:
    keys = [key.replace("first", f"attempt-{number}") for number in range(24)]

    def cycle(one: str) -> None:
        assert put(store, one, one.encode()).is_success
        store.remove([one])
        assert store.stat(one) is None
        assert put(store, one, one.encode()).is_success

    clients.at_once(cycle, keys)
    assert {stat.key for stat in store.list(key.rpartition("/")[0])} == set(keys)


def test_remove_takes_only_the_given_keys(store: ObjectStore, key: str) -> None:
    keys = [f"{key}.{number}" for number in range(5)]
    for one in keys:
        put(store, one, b"x")
    store.remove(one for one in [*keys[:3], f"{key}.never"])
    assert [store.stat(one) is None for one in keys] == [True] * 3 + [False] * 2
    store.remove(keys)
    store.remove(keys)
    store.remove([])
    assert all(store.stat(one) is None for one in keys)


def test_list_finds_keys_by_prefix(store: ObjectStore, key: str) -> None:
    base = key.rpartition("/")[0]
    bodies = {f"{base}/{name}": name.encode() for name in ("a", "ab", "b/a", "b/c/d", "ba")}
    for one, body in bodies.items():
        put(store, one, body)
    expected = {one: (len(body), md5(body)) for one, body in bodies.items()}
    assert clients.sizes_and_digests(store, f"{base}/") == expected
    assert clients.sizes_and_digests(store, f"{base}/a").keys() == {f"{base}/a", f"{base}/ab"}
    assert clients.sizes_and_digests(store, f"{base}/b/").keys() == {f"{base}/b/a", f"{base}/b/c/d"}
    assert clients.sizes_and_digests(store, f"{base}/z") == {}
    assert expected.items() <= clients.sizes_and_digests(store, "").items()
    assert clients.sizes_and_digests(store, "../") == {}


def test_put_stores_a_local_file(store: ObjectStore, key: str, tmp_path: Path) -> None:
    for body in (b"first", b"second" * CHUNK_BYTES, b""):
        (tmp_path / "song").write_bytes(body)
        store.put(key, tmp_path / "song")
        stat = stat_of(store, key)
        assert (stat.size, read(store, key)) == (len(body), body)
    with pytest.raises(UnsafeKey):
        store.put("../song", tmp_path / "song")


def test_check_leaves_no_trace_and_may_be_repeated(store: ObjectStore) -> None:
    before = {stat.key for stat in store.list()}
    store.check()
    assert {stat.key for stat in store.list()} == before
