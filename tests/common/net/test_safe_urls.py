"""Only loopback addresses are allowed in clear text, not look-alikes."""

import pytest

from trackfarm.net.safe_urls import http_url_problem, is_loopback


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.9.9.9", "localhost", "LOCALHOST", "::1", "[::1]"]
)
def test_is_loopback_is_true_for_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        None,
        "0.0.0.0",  # noqa: S104
        "::",
        "10.0.0.1",
        "128.0.0.1",
        "farm.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "::ffff:10.0.0.1",
    ],
)
def test_is_loopback_is_false_for_others(host: str | None) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    "url",
    ["https://farm.example", "http://127.0.0.1:8700", "http://localhost", "http://[::1]:8700/x"],
)
def test_http_url_that_is_safe_has_no_problem(url: str) -> None:
    assert http_url_problem(url, setting="URL", insecure="INSECURE") is None


def test_http_url_problem_says_what_to_write_and_no_secret() -> None:
    message = http_url_problem(
        "http://me:secret@farm.example:8700/a", setting="THE_URL", insecure="ALLOW"
    )
    assert message is not None
    assert "THE_URL=https://farm.example:8700/a" in message
    assert "ALLOW=true" in message
    assert "secret" not in message
