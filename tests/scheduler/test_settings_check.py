"""Settings check: a scheduler with insecure settings does not start, and names the replacement."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trackfarm_scheduler.settings import SchedulerSettings
from trackfarm_scheduler.settings_check import faults

EVERYWHERE = "0.0.0.0"  # noqa: S104
SAFE: dict[str, Any] = {
    "broker_url": "redis://:secret-b@127.0.0.1:6379/0",
    "objects_url": "file:///var/lib/trackfarm",
    "api_key": "k" * 16,
    "signing_secret": "s" * 16,
}
PROVED = "rediss://:secret-b@redis.example:6380/0?ssl_cert_reqs=required"
CERTIFICATE = {"tls_certificate": "/tls/scheduler.crt", "tls_key": "/tls/scheduler.key"}


def found(**changes: Any) -> list[str]:
    return faults(SchedulerSettings.model_validate(SAFE | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"broker_url": PROVED},
        {"broker_url": PROVED, "broker_external_url": "rediss://r.example?ssl_cert_reqs=required"},
        {"host": EVERYWHERE, **CERTIFICATE, "public_url": "https://farm.example:8700"},
        {"host": EVERYWHERE, **CERTIFICATE},
        {"host": EVERYWHERE, "behind_tls_proxy": True, "public_url": "https://farm.example"},
        {"host": "127.0.0.1", "behind_tls_proxy": True, "public_url": "https://farm.example"},
        {"objects_url": "https://s3.example/tracks"},
        {"objects_url": "s3://tracks"},
        {"objects_url": "http://127.0.0.1:9000/tracks"},
        {"database_url": "postgresql+psycopg://f:secret-d@127.0.0.1/farm"},
        {"database_url": "postgresql+psycopg:///farm"},
        {"database_url": "postgresql+psycopg://f@/farm?host=/var/run/postgresql"},
        {"database_url": "postgresql+psycopg://f:secret-d@db.example/farm?sslmode=verify-full"},
        {"database_url": "postgresql+psycopg://f:secret-d@db.example/farm?sslmode=verify-ca"},
    ],
)
def test_settings_that_are_safe_pass(changes: dict[str, Any]) -> None:
    assert found(**changes) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"broker_url": "redis://:secret-b@redis.example:6379/0"},
            "BROKER_URL=rediss://:<password>@redis.example:6379/0?ssl_cert_reqs=required",
        ),
        (
            {"broker_url": "rediss://:secret-b@redis.example:6380/0"},
            "BROKER_URL=rediss://:<password>@redis.example:6380/0?ssl_cert_reqs=required",
        ),
        (
            {"broker_external_url": "redis://redis.example:6379/0"},
            "BROKER_EXTERNAL_URL=rediss://redis.example:6379/0?ssl_cert_reqs=required",
        ),
        ({"objects_url": "http://s3.example/tracks"}, "OBJECTS_URL=https://s3.example/tracks"),
        (
            {"objects_external_url": "http://s3.example"},
            "OBJECTS_EXTERNAL_URL=https://s3.example",
        ),
        ({"host": EVERYWHERE}, "TLS_CERTIFICATE and TRACKFARM_SCHEDULER_TLS_KEY"),
        ({"host": "::"}, "trackfarm ca create"),
        (
            {"host": EVERYWHERE, **CERTIFICATE, "public_url": "http://farm.example"},
            "PUBLIC_URL=https://farm.example",
        ),
        ({"public_url": "http://farm.example"}, "PUBLIC_URL=https://farm.example"),
        ({"behind_tls_proxy": True}, "PUBLIC_URL=https://"),
        ({"behind_tls_proxy": True, "public_url": "http://farm.example"}, "PUBLIC_URL=https://"),
        (
            {"database_url": "postgresql+psycopg://f:secret-d@db.example/farm"},
            "postgresql+psycopg://f:***@db.example/farm?sslmode=verify-full",
        ),
        (
            {"database_url": "postgresql+psycopg://f:secret-d@db.example/farm?sslmode=require"},
            "?sslmode=verify-full",
        ),
        (
            {"database_url": "postgresql+psycopg://f@/farm?host=db.example"},
            "sslmode=verify-full",
        ),
        ({"database_url": "nonsense"}, "DATABASE_URL"),
    ],
)
def test_unsafe_settings_name_their_replacement(changes: dict[str, Any], words: str) -> None:
    (problem,) = found(**changes)
    assert words in problem
    assert "TRACKFARM_SCHEDULER_" in problem
    assert "secret" not in problem
    if "nonsense" not in changes.values():
        assert found(insecure=True, **changes) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"tls_key": "/tls/scheduler.key"},
        {"tls_certificate": "/tls/scheduler.crt"},
        {"broker_external_url": "rediss://:secret-b@r.example/0?ssl_cert_reqs=required"},
    ],
)
def test_contradictory_settings_are_refused_in_any_network(changes: dict[str, Any]) -> None:
    assert len(found(insecure=True, **changes)) == 1


def test_short_join_token_is_refused_and_an_empty_one_is_not() -> None:
    with pytest.raises(ValueError, match="at least 16"):
        found(join_token="short")
    assert SchedulerSettings.model_validate(SAFE).join_token.get_secret_value() == ""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"host": EVERYWHERE}, "_HOST=0.0.0.0 would serve keys and tokens"),
        (
            {"broker_url": "redis://:secret-b@redis.example:6379/0"},
            "BROKER_URL=rediss://:<password>@redis.example:6379/0?ssl_cert_reqs=required",
        ),
        (
            {"broker_url": "rediss://:secret-b@redis.example:6380/0"},
            "BROKER_URL=rediss://:<password>@redis.example:6380/0?ssl_cert_reqs=required",
        ),
    ],
)
def test_process_names_unsafe_settings_and_exits(
    tmp_path: Path, changes: dict[str, str], words: str
) -> None:
    fields = SAFE | changes | {"database_url": f"sqlite:///{tmp_path / 'farm.db'}"}
    settings = {f"TRACKFARM_SCHEDULER_{name.upper()}": value for name, value in fields.items()}
    completed = subprocess.run(
        [sys.executable, "-m", "trackfarm_scheduler"],
        env={"PATH": os.environ["PATH"], **settings},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert completed.returncode == 2
    assert words in completed.stderr
    assert "secret" not in completed.stderr
