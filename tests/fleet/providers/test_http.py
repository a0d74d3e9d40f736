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
    USUAL_WAIT,
    Api,
    ProviderCall,
    common_trouble,
    exhausted,
    read,
    retry_after,
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


def _judged(api: Api, call: ProviderCall) -> object:
    return api.call(call, judge=lambda response: common_trouble(response, response.text))


def test_calls_of_one_endpoint_keep_their_distance_and_others_do_not_wait() -> None:
    with _api(lambda _: Reply(200, {})) as (api, account):
        for endpoint in ("search", "list", "search"):
            _judged(api, ProviderCall("GET", "/", endpoint, 6.0))
        assert account.slept == [6.0]


def test_a_used_up_quota_is_waited_for_before_the_next_call() -> None:
    headers = {"RateLimit": '"minute";r=0;t=12, "hour";r=900;t=1800'}
    with _api(lambda _: Reply(200, {}, headers)) as (api, account):
        _judged(api, ProviderCall("GET", "/", "a"))
        assert account.slept == []
        _judged(api, ProviderCall("GET", "/", "b"))
        assert account.slept == [12.0]


def test_what_is_not_repeatable_is_sent_once_when_it_may_have_been_done() -> None:
    requests: list[ReceivedRequest] = []

    def broken(call: ReceivedRequest) -> Reply:
        requests.append(call)
        return Reply(500, {})

    with _api(broken) as (api, _):
        answer = _judged(api, ProviderCall("POST", "/", "create", repeatable=False))
        assert isinstance(answer, Unavailable)
        assert answer.maybe_done
        assert len(requests) == 1
        _judged(api, ProviderCall("GET", "/", "list"))
        assert len(requests) == 5


def test_a_connection_that_was_refused_certainly_did_nothing_and_is_tried_again() -> None:
    account = Account()
    url = f"http://127.0.0.1:{free_port()}"
    with closing(Api(url, KEY, now=account.clock, sleep=account.sleep)) as api:
        answer = _judged(api, ProviderCall("POST", "/", "create", repeatable=False))
    assert isinstance(answer, Unavailable)
    assert not answer.maybe_done
    assert len(account.slept) == 3


def test_a_wait_that_is_too_long_is_handed_back_at_once() -> None:
    with _api(lambda _: Reply(429, "wait", {"Retry-After": "600"})) as (api, account):
        answer = _judged(api, ProviderCall("GET", "/", "list"))
        assert answer == RateLimited("wait", 600.0)
        assert account.slept == []


def test_secrets_that_a_provider_quotes_are_blotted_out() -> None:
    hidden = SecretStr("join-token")
    message = f"you said {KEY.get_secret_value()} and join-token"
    with _api(lambda _: Reply(400, message)) as (api, _):
        answer = _judged(api, ProviderCall("POST", "/", "create", hidden=(hidden,)))
    assert answer == BadRequest("you said ********** and **********")


def test_an_answer_without_sense_is_a_provider_that_is_broken() -> None:
    for body in ("<html>", '{"pods": [{"id": 5}]}'):
        answer = read(httpx.Response(200, text=body), Pods)
        assert isinstance(answer, Unavailable)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0", 1.0), ("", USUAL_WAIT), ("soon", USUAL_WAIT)],
)
def test_retry_after_in_seconds(header: str, seconds: float) -> None:
    assert retry_after(header) == seconds


def test_retry_after_as_a_date_that_has_passed_is_short() -> None:
    assert retry_after("Fri, 01 Jan 2021 00:00:00 GMT") == 1.0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", 0.0),
        ('"minute";r=3;t=12', 0.0),
        ('"minute";r=0;t=12, "day";r=0;t=70000', 70_000.0),
    ],
)
def test_quotas(header: str, seconds: float) -> None:
    assert exhausted(header) == seconds
