"""Implementations of the object store interface, prepared for the contract tests."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fastapi import FastAPI

from tests.servers.asgi import listening_socket, serve_app
from tests.servers.s3 import S3Access
from trackfarm_scheduler.objects import ObjectStore
from trackfarm_scheduler.objects.directory import DirectoryStore
from trackfarm_scheduler.objects.directory_routes import directory_router
from trackfarm_scheduler.objects.s3 import S3Store


@dataclass(frozen=True)
class StoreSubject:
    """A store under test, and the same store with a given clock.

    `writes_once`: expected value after its `check`.
    """

    store: ObjectStore
    at: Callable[[datetime], ObjectStore]
    writes_once: bool


@contextmanager
def directory_subject(root: Path) -> Iterator[StoreSubject]:
    """Yield a directory store behind a real web server."""
    with listening_socket() as (listener, base_url):

        def at(now: datetime) -> DirectoryStore:
            return DirectoryStore(root, base_url=base_url, secret=b"s" * 32, now=now.timestamp)

        store = DirectoryStore(root, base_url=base_url, secret=b"s" * 32)
        app = FastAPI()
        app.include_router(directory_router(store))
        with serve_app(app, listener):
            yield StoreSubject(store, at, writes_once=True)


def s3_subject(access: S3Access, *, writes_once: bool) -> StoreSubject:
    """Return a store in a new bucket, which `check` will create."""
    bucket = f"farm-{uuid.uuid4().hex[:12]}"

    def at(now: Callable[[], datetime]) -> S3Store:
        return S3Store(
            endpoint=access.endpoint,
            bucket=bucket,
            access_key=access.access_key,
            secret_key=access.secret_key,
            region=access.region,
            now=now,
        )

    return StoreSubject(at(lambda: datetime.now(UTC)), lambda now: at(lambda: now), writes_once)
