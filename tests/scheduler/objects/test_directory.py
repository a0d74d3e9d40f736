"""Behaviour of a directory store beyond the contract of all stores."""

import hashlib
import os
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import anyio
import httpx
import pytest
from fastapi import FastAPI

from tests.servers.asgi import listening_socket, serve_app
from trackfarm_scheduler.objects import ObjectMissing, ObjectStoreError
from trackfarm_scheduler.objects.directory import ABANDONED_AFTER_S, DirectoryStore
from trackfarm_scheduler.objects.directory_routes import directory_router

HOUR = timedelta(hours=1)
MAX_BYTES = 3_000_000
SECRET = b"0123456789abcdef"


def application(store: DirectoryStore) -> FastAPI:
    app = FastAPI()
    app.include_router(directory_router(store))
    return app


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DirectoryStore]:
    with listening_socket() as (listener, base_url):
        store = DirectoryStore(
            tmp_path / "store", base_url=base_url, secret=SECRET, max_bytes=MAX_BYTES
        )
        store.check()
        with serve_app(application(store), listener):
            yield store


def put(store: DirectoryStore, key: str, content: bytes) -> httpx.Response:
    return httpx.put(store.presign_put(key, expires=HOUR).url, content=content)


def md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def kept_md5(store: DirectoryStore, key: str) -> str | None:
    stat = store.stat(key)
    assert stat is not None
    return stat.md5_hex


def files(store: DirectoryStore) -> list[Path]:
    return [path.relative_to(store.root) for path in store.root.rglob("*") if path.is_file()]


def test_directory_holds_a_file_under_its_key(store: DirectoryStore) -> None:
    put(store, "tracks/a.mp3", b"sound")
    assert (store.root / "objects/tracks/a.mp3").read_bytes() == b"sound"
    assert sorted(map(str, files(store))) == ["digests/tracks/a.mp3", "objects/tracks/a.mp3"]


def test_directory_uses_the_stored_digest_of_an_unchanged_file(store: DirectoryStore) -> None:
    put(store, "a", b"sound")
    digest = store.root / "digests/a"
    digest.write_text(digest.read_text().replace(md5(b"sound"), "0" * 32))
    assert kept_md5(store, "a") == "0" * 32


def test_directory_digests_a_changed_file_again(store: DirectoryStore) -> None:
    put(store, "a", b"sound")
    (store.root / "objects/a").write_bytes(b"noise")
    assert kept_md5(store, "a") == md5(b"noise")
    (store.root / "digests/a").unlink()
    assert kept_md5(store, "a") == md5(b"noise")
    assert (store.root / "digests/a").exists()


def test_remove_leaves_no_empty_folders(store: DirectoryStore) -> None:
    put(store, "tracks/a/b/1.mp3", b"x")
    put(store, "tracks/a/c/1.mp3", b"x")
    store.remove(["tracks/a/b/1.mp3"])
    assert not (store.root / "objects/tracks/a/b").exists()
    assert store.stat("tracks/a/c/1.mp3")
    store.remove(["tracks/a/c/1.mp3"])
    assert list((store.root / "objects").iterdir()) == []
    assert list((store.root / "digests").iterdir()) == []


def test_directory_treats_a_folder_of_keys_as_no_object(store: DirectoryStore) -> None:
    put(store, "a/b", b"x")
    assert put(store, "a", b"x").status_code == 409
    assert put(store, "a/b/c", b"x").status_code == 409
    assert store.stat("a") is None
    with pytest.raises(ObjectMissing), store.open("a"):
        pass
    store.remove(["a", "a/b/c"])
    assert [stat.key for stat in store.list()] == ["a/b"]
    assert list((store.root / "incoming").iterdir()) == []


def pieces(count: int) -> Iterator[bytes]:
    yield from (b"x" * 100_000 for _ in range(count))


def test_put_stores_a_body_of_the_maximum_size(store: DirectoryStore) -> None:
    url = store.presign_put("a", expires=HOUR).url
    assert httpx.put(url, content=pieces(30)).status_code == 200
    assert (store.root / "objects/a").stat().st_size == MAX_BYTES


@pytest.mark.parametrize("announced", [True, False])
def test_put_refuses_a_longer_body(store: DirectoryStore, announced: bool) -> None:
    url = store.presign_put("a", expires=HOUR).url
    headers = {"Content-Length": "3100000"} if announced else {}
    assert httpx.put(url, content=pieces(31), headers=headers).status_code == 413
    assert files(store) == []


def test_put_refuses_a_body_of_another_length(tmp_path: Path) -> None:
    """Servers cut bodies to their length, so only another way of calling the application can cause
    this."""
    store = DirectoryStore(tmp_path, base_url="http://here", secret=SECRET)

    async def body() -> AsyncIterator[bytes]:
        yield b"four"

    async def answer() -> httpx.Response:
        transport = httpx.ASGITransport(app=application(store))
        async with httpx.AsyncClient(transport=transport) as client:
            url = store.presign_put("a", expires=HOUR).url
            return await client.put(url, content=body(), headers={"Content-Length": "5"})

    response = anyio.run(answer)
    assert (response.status_code, response.text) == (400, "4 bytes received, Content-Length says 5")
    assert files(store) == []


@pytest.mark.parametrize("text", ["", "?", "AAAA"])
def test_put_refuses_an_invalid_content_md5(store: DirectoryStore, text: str) -> None:
    url = store.presign_put("a", expires=HOUR).url
    assert httpx.put(url, content=b"x", headers={"Content-MD5": text}).status_code == 400
    assert files(store) == []


def test_refusals_give_the_reason(store: DirectoryStore) -> None:
    old = DirectoryStore(store.root, base_url=store.base_url, secret=SECRET, now=lambda: 1e9)
    expired = httpx.get(old.presign_get("a", expires=HOUR).url)
    assert (expired.status_code, expired.text) == (403, "expired")
    unsigned = httpx.get(f"{store.base_url}/objects/a")
    assert (unsigned.status_code, unsigned.text) == (403, "wrong signature")
    climbing = httpx.get(f"{store.base_url}/objects/a/%2E%2E/%2E%2E/b?expires=1&signature=1")
    assert climbing.status_code in (400, 403, 404)
    assert httpx.get(f"{store.base_url}/objects/a%00b").status_code == 400


def test_get_url_answers_head(store: DirectoryStore) -> None:
    put(store, "a.mp3", b"sound")
    answer = httpx.head(store.presign_get("a.mp3", expires=HOUR).url)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == "5"
    assert answer.headers["etag"] == f'"{md5(b"sound")}"'


@pytest.mark.parametrize(
    ("key", "media_type"),
    [("a.mp3", "audio/mpeg"), ("a.flac", "audio/flac"), ("a.html", "application/octet-stream")],
)
def test_get_lets_no_content_become_a_page(
    store: DirectoryStore, key: str, media_type: str
) -> None:
    put(store, key, b"<script>alert(1)</script>")
    answer = httpx.get(store.presign_get(key, expires=HOUR).url)
    assert answer.headers["content-type"] == media_type
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_check_removes_partial_uploads(store: DirectoryStore) -> None:
    old, fresh = store.root / "incoming/old", store.root / "incoming/fresh"
    for path in (old, fresh):
        path.write_bytes(b"half")
    then = time.time() - ABANDONED_AFTER_S - 60
    os.utime(old, (then, then))
    store.check()
    assert (old.exists(), fresh.exists()) == (False, True)


def test_check_names_the_setting_when_the_root_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = DirectoryStore(tmp_path / "file/root", base_url="http://here", secret=SECRET)
    with pytest.raises(ObjectStoreError, match="TRACKFARM_SCHEDULER_OBJECTS_URL"):
        store.check()


def test_directory_refuses_a_short_secret(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        DirectoryStore(tmp_path, base_url="http://here", secret=b"short")
