"""Composition root: a scheduler built from settings leads, and resigns before its other loops stop."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.servers.redis import RedisServer
from trackfarm.settings import ClientSettingsError
from trackfarm_scheduler.app import assemble
from trackfarm_scheduler.loop import Loop
from trackfarm_scheduler.services import Services
from trackfarm_scheduler.settings import SchedulerSettings

NO_BROKER = "redis://127.0.0.1:1/0"


@contextmanager
def assembled(folder: Path, **settings: Any) -> Iterator[tuple[Services, list[Loop]]]:
    options = {
        "database_url": f"sqlite:///{folder / 'farm.db'}",
        "broker_url": NO_BROKER,
        "objects_url": (folder / "objects").as_uri(),
        "api_key": "k" * 16,
        "signing_secret": "s" * 16,
        **settings,
    }
    services, loops = assemble(SchedulerSettings.model_validate(options))
    with closing(services.database), closing(services.broker):
        yield services, loops
    if services.users is not None:
        services.users.close()


@pytest.fixture
def limited_user_url(redis: RedisServer) -> str:
    """URL of a broker user that may not create users."""
    with Redis.from_url(redis.url) as client:
        client.execute_command("ACL SETUSER limited on >password ~* &* +@all -acl")
    return redis.url.replace("redis://", "redis://limited:password@")


def test_app_leads_until_its_first_loop_stops(tmp_path: Path) -> None:
    with assembled(tmp_path) as (services, loops):
        assert services.leadership.leads
        for loop in loops:
            loop.start()
        with assembled(tmp_path, port=8701) as (standby, _):
            assert not standby.leadership.leads
            loops[0].stop()
            standby.leadership.tick()
            assert standby.leadership.leads, "it need not wait for the other loops to stop"
        for loop in loops[1:]:
            loop.stop()


def test_app_starts_while_its_broker_is_away(tmp_path: Path) -> None:
    with assembled(tmp_path) as (services, _):
        assert services.users is not None
        assert not services.broker.is_up()


def test_app_refuses_a_broker_that_cannot_keep_workers_apart(
    tmp_path: Path, limited_user_url: str
) -> None:
    with (
        pytest.raises(ClientSettingsError, match="TRACKFARM_SCHEDULER_INSECURE=true"),
        assembled(tmp_path, broker_url=limited_user_url),
    ):
        pass
    with assembled(tmp_path, broker_url=limited_user_url, insecure=True) as (services, _):
        assert services.broker_url_for("worker_0001", "password") == limited_user_url
