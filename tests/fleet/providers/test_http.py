"""Retries and rate limits of calls to providers, with a real server and a simulated clock."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import httpx
import pytest
from pydantic import SecretStr

from tests.fleet.fakes.account import Account
from tests.servers.process import free_port
from tests.servers.scripted_http import ReceivedRequest, Reply, scripted_server
from trackfarm_fleet.providers.base import BadRequest, RateLimited, Unavailable
from trackfarm_fleet.providers.http import (
    DEFAULT_WAIT_S,
    Api,
    ProviderCall,
    common_error,
    quota_reset_seconds,
    read,
    retry_after_seconds,
)
from trackfarm_fleet.providers.runpod_schema import Pods

KEY = SecretStr("the-key-of-the-account")


@contextmanager
def _api(reply: Callable[[ReceivedRequest], Reply]) -> Iterator[tuple[Api, Account]]:
    account = Account()
    with (
        scripted_server(reply) as server,
        closing(Api(server.url, KEY, now=account.clock, sleep=account.sleep)) as api,
    ):
        yield api, account


def _called(api: Api, call: ProviderCall) -> object:
    return api.call(call, judge=lambda response: common_error(response, response.text))


def test_calls_wait_for_the_interval_of_their_own_endpoint_only() -> None:
    with _api(lambda _: Reply(200, {})) as (api, account):
        for endpoint in ("search", "list", "search"):
            _called(api, ProviderCall("GET", "/", endpoint, 6.0))
        assert account.slept == [6.0]


def test_calls_wait_until_a_used_up_quota_is_refilled() -> None:
    headers = {"RateLimit": '"minute";r=0;t=12, "hour";r=900;t=1800'}
    with _api(lambda _: Reply(200, {}, headers)) as (api, account):
        _called(api, ProviderCall("GET", "/", "a"))
        assert account.slept == []
        _called(api, ProviderCall("GET", "/", "b"))
        assert account.slept == [12.0]


def test_calls_that_are_not_repeatable_are_sent_once_if_they_may_have_run() -> None:
    requests: list[ReceivedRequest] = []

    def broken(call: ReceivedRequest) -> Reply:
        requests.append(call)
        return Reply(500, {})

    with _api(broken) as (api, _):
        answer = _called(api, ProviderCall("POST", "/", "create", repeatable=False))
        assert isinstance(answer, Unavailable)
        assert answer.may_have_run
        assert len(requests) == 1
        _called(api, ProviderCall("GET", "/", "list"))
        assert len(requests) == 5


def test_calls_are_retried_after_a_refused_connection() -> None:
    account = Account()
    url = f"http://127.0.0.1:{free_port()}"
    with closing(Api(url, KEY, now=account.clock, sleep=account.sleep)) as api:
        answer = _called(api, ProviderCall("POST", "/", "create", repeatable=False))
    assert isinstance(answer, Unavailable)
    assert not answer.may_have_run
    assert len(account.slept) == 3


def test_rate_limit_with_a_long_wait_is_returned_at_once() -> None:
    with _api(lambda _: Reply(429, "wait", {"Retry-After": "600"})) as (api, account):
        answer = _called(api, ProviderCall("GET", "/", "list"))
        assert answer == RateLimited("wait", 600.0)
        assert account.slept == []


def test_errors_have_no_secrets_quoted_by_a_provider() -> None:
    hidden = SecretStr("join-token")
    message = f"you said {KEY.get_secret_value()} and join-token"
    with _api(lambda _: Reply(400, message)) as (api, _):
        answer = _called(api, ProviderCall("POST", "/", "create", hidden=(hidden,)))
    assert answer == BadRequest("you said ********** and **********")


def test_read_of_an_invalid_body_is_unavailable() -> None:
    for body in ("<html>", '{"pods": [{"id": 5}]}'):
        answer = read(httpx.Response(200, text=body), Pods)
        assert isinstance(answer, Unavailable)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0", 1.0), ("", DEFAULT_WAIT_S), ("soon", DEFAULT_WAIT_S)],
)
def test_retry_after_seconds_of_a_number(header: str, seconds: float) -> None:
    assert retry_after_seconds(header) == seconds


def test_retry_after_seconds_of_a_past_date_is_one() -> None:
    assert retry_after_seconds("Fri, 01 Jan 2021 00:00:00 GMT") == 1.0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", 0.0),
        ('"minute";r=3;t=12', 0.0),
        ('"minute";r=0;t=12, "day";r=0;t=70000', 70_000.0),
    ],
)
def test_quota_reset_seconds_of_the_last_used_up_quota(header: str, seconds: float) -> None:
    assert quota_reset_seconds(header) == seconds
