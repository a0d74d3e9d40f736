"""Broker URLs: the safety check, and the URL that a worker gets."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackfarm.net.safe_urls import (
    broker_credentials_problem,
    broker_url_problem,
    database_number,
    with_ca_file,
    worker_broker_url,
)

PROVED = "ssl_cert_reqs=required"


def fault(url: str) -> str | None:
    return broker_url_problem(url, setting="BROKER_URL", insecure="ALLOW")


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:6379/0",
        "redis://:secret@localhost:6379/0",
        f"rediss://:secret@redis.example:6380/0?{PROVED}",
        "rediss://u:secret@redis.example/0?ssl_cert_reqs=CERT_REQUIRED&ssl_ca_certs=/ca.crt",
    ],
)
def test_broker_url_that_is_safe_has_no_problem(url: str) -> None:
    assert fault(url) is None


@pytest.mark.parametrize(
    ("url", "better"),
    [
        ("redis://:secret@10.0.0.1:6379/2", f"rediss://:<password>@10.0.0.1:6379/2?{PROVED}"),
        ("redis://redis.example", f"rediss://:<password>@redis.example/0?{PROVED}"),
        ("rediss://u:secret@redis.example/0", f"rediss://u:<password>@redis.example/0?{PROVED}"),
        ("rediss://:secret@localhost/0", f"rediss://:<password>@localhost/0?{PROVED}"),
        (
            "rediss://:secret@r.example/0?ssl_cert_reqs=none&ssl_ca_certs=/ca.crt",
            f"rediss://:<password>@r.example/0?{PROVED}&ssl_ca_certs=/ca.crt",
        ),
        (
            f"rediss://:secret@r.example/0?{PROVED}&ssl_check_hostname=false",
            f"rediss://:<password>@r.example/0?{PROVED}",
        ),
        (f"rediss://r.example/0?{PROVED}", f"rediss://:<password>@r.example/0?{PROVED}"),
    ],
)
def test_broker_url_problem_names_the_url_to_write(url: str, better: str) -> None:
    message = fault(url)
    assert message is not None
    assert f"BROKER_URL={better}," in message
    assert "ALLOW=true" in message
    assert "secret" not in message
    assert fault(better) is None


@pytest.mark.parametrize("url", ["amqp://me:secret@rabbit.example//", "sentinel://x", "nothing"])
def test_broker_url_of_another_scheme_is_a_problem(url: str) -> None:
    message = fault(url)
    assert message is not None
    assert "secret" not in message


def test_worker_broker_url_has_nothing_of_the_farms_own_access() -> None:
    farm_url = f"rediss://farm:secret@redis.example:6380/3?{PROVED}&ssl_ca_certs=/etc/farm/ca.crt"
    worker_url = worker_broker_url(farm_url, user="tfw_worker_1", password="p/w@x")
    assert worker_url == f"rediss://tfw_worker_1:p%2Fw%40x@redis.example:6380/3?{PROVED}"
    assert worker_broker_url("redis://:secret@127.0.0.1:6379/0", user="u", password="p") == (
        "redis://u:p@127.0.0.1:6379/0"
    )


@given(st.text(min_size=1), st.text(min_size=1))
def test_worker_broker_url_keeps_any_credentials(user: str, password: str) -> None:
    parts = urlsplit(worker_broker_url("redis://127.0.0.1:1/0", user=user, password=password))
    assert (unquote(parts.username or ""), unquote(parts.password or "")) == (user, password)
    assert parts.hostname == "127.0.0.1"


def test_with_ca_file_adds_an_authority_where_none_is_named() -> None:
    url = f"rediss://:p@r.example/0?{PROVED}"
    assert with_ca_file(url, Path("/ca.crt")) == f"{url}&ssl_ca_certs=/ca.crt"
    assert with_ca_file(url, None) == url
    with_ca = f"{url}&ssl_ca_certs=/mine.crt"
    assert with_ca_file(with_ca, Path("/ca.crt")) == with_ca
    assert with_ca_file("redis://127.0.0.1/0", Path("/ca.crt")) == "redis://127.0.0.1/0"


def test_broker_credentials_problem_finds_credentials() -> None:
    assert broker_credentials_problem("rediss://r.example/0", setting="OUTSIDE") is None
    message = broker_credentials_problem("rediss://:secret@r.example/0", setting="OUTSIDE")
    assert message is not None
    assert "secret" not in message


@pytest.mark.parametrize(
    ("url", "number"), [("redis://h", 0), ("redis://h/", 0), ("redis://h/7", 7)]
)
def test_database_number_is_the_path(url: str, number: int) -> None:
    assert database_number(url) == number
