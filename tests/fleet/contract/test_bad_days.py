"""Contract of network providers during network failures and their own errors."""

import pytest
from pydantic import SecretStr

from tests.fleet.contract.subjects import TAGS, TOKEN, Subject
from tests.fleet.fakes.account import Account, Fault
from trackfarm_fleet.providers.base import (
    AuthFailed,
    Instance,
    NoCapacity,
    OfferQuery,
    ProviderError,
    RateLimited,
    Unavailable,
)


def _account(remote: Subject) -> Account:
    assert remote.account is not None
    return remote.account


def test_create_finds_the_machine_of_a_lost_response(remote: Subject) -> None:
    rental_request = remote.request(TAGS.new())
    _account(remote).inject("create", Fault.HANGS_UP_AFTER)
    created = remote.provider.create(rental_request)
    assert isinstance(created, Instance)
    assert created.tag == rental_request.tag
    assert len(remote.alive()) == 1


def test_create_finds_an_unlisted_machine_at_the_next_attempt(remote: Subject) -> None:
    rental_request = remote.request(TAGS.new())
    account = _account(remote)
    account.inject("create", Fault.HANGS_UP_AFTER)
    account.inject("list", None, *[Fault.SERVER_ERROR] * 4)
    first = remote.provider.create(rental_request)
    assert isinstance(first, Unavailable)
    assert first.may_have_run
    assert isinstance(remote.provider.create(rental_request), Instance)
    assert len(remote.alive()) == 1


def test_create_that_may_have_run_is_not_sent_twice(remote: Subject) -> None:
    rental_request = remote.request(TAGS.new())
    _account(remote).inject("create", Fault.HANGS_UP_BEFORE)
    answer = remote.provider.create(rental_request)
    assert isinstance(answer, Unavailable)
    assert answer.may_have_run
    assert remote.alive() == []
    assert isinstance(remote.provider.create(rental_request), Instance)


def test_instances_list_a_duplicate_machine_twice(remote: Subject) -> None:
    """The orphan cleaner has to see both."""
    rental_request = remote.request(TAGS.new())
    _account(remote).inject("create", Fault.DONE_TWICE)
    assert isinstance(remote.provider.create(rental_request), Instance)
    listed = remote.provider.instances()
    assert not isinstance(listed, ProviderError)
    assert [i.tag for i in listed] == [rental_request.tag, rental_request.tag]


@pytest.mark.parametrize("operation", ["offers", "list", "terminate"])
def test_rate_limit_is_waited_for(remote: Subject, operation: str) -> None:
    created = remote.provider.create(remote.request(TAGS.new()))
    assert isinstance(created, Instance)
    account = _account(remote)
    account.slept.clear()
    account.inject(operation, Fault.RATE_LIMITED)
    match operation:
        case "offers":
            assert not isinstance(remote.provider.offers(OfferQuery()), ProviderError)
        case "list":
            assert not isinstance(remote.provider.instances(), ProviderError)
        case _:
            assert remote.provider.terminate(created.id) is None
    expected = 7.0 if remote.provider.name == "runpod" else 5.0
    assert expected in account.slept


def test_rate_limit_that_persists_is_returned(remote: Subject) -> None:
    _account(remote).inject("list", *[Fault.RATE_LIMITED] * 9)
    answer = remote.provider.instances()
    assert isinstance(answer, RateLimited)
    assert answer.retry_after > 0


def test_create_without_capacity_rents_nothing(remote: Subject) -> None:
    rental_request = remote.request(TAGS.new())
    _account(remote).inject("create", Fault.NO_CAPACITY)
    assert isinstance(remote.provider.create(rental_request), NoCapacity)
    assert remote.alive() == []


def test_calls_to_an_unreachable_provider_are_unavailable(remote: Subject) -> None:
    rental_request = remote.request(TAGS.new())
    _account(remote).down = True
    assert isinstance(remote.provider.offers(OfferQuery()), Unavailable)
    assert isinstance(remote.provider.instances(), Unavailable)
    assert isinstance(remote.provider.terminate("1"), Unavailable)
    assert isinstance(remote.provider.create(rental_request), Unavailable)
    assert remote.alive() == []


def test_terminate_is_retried(remote: Subject) -> None:
    created = remote.provider.create(remote.request(TAGS.new()))
    assert isinstance(created, Instance)
    _account(remote).inject("terminate", Fault.SERVER_ERROR, Fault.SERVER_ERROR)
    assert remote.provider.terminate(created.id) is None
    assert remote.alive() == []


def test_terminate_that_keeps_failing_returns_the_error(remote: Subject) -> None:
    created = remote.provider.create(remote.request(TAGS.new()))
    assert isinstance(created, Instance)
    _account(remote).inject("terminate", *[Fault.SERVER_ERROR] * 4)
    assert isinstance(remote.provider.terminate(created.id), Unavailable)
    assert len(remote.alive()) == 1


def test_instances_may_list_an_ended_machine_for_a_while(remote: Subject) -> None:
    account = _account(remote)
    account.linger_seconds = 300
    created = remote.provider.create(remote.request(TAGS.new()))
    assert isinstance(created, Instance)
    assert remote.provider.terminate(created.id) is None
    assert remote.alive() == []
    account.clock.advance(100)
    listed = remote.provider.instances()
    assert not isinstance(listed, ProviderError)
    assert [i.id for i in listed] == [created.id]
    account.clock.advance(300)
    assert remote.provider.instances() == []


def test_calls_with_a_wrong_key_fail_without_retries(remote: Subject) -> None:
    assert remote.wrong_key is not None
    stranger = remote.wrong_key()
    for answer in (stranger.offers(OfferQuery()), stranger.instances()):
        assert isinstance(answer, AuthFailed)
        assert "a-wrong-key-0123456789" not in repr(answer)


def test_errors_have_no_secrets(
    remote: Subject, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the repr of a request nor a provider's error that quotes the request shows a
    secret."""
    caplog.set_level(0)
    rental_request = remote.request(TAGS.new())
    assert TOKEN not in repr(rental_request)
    too_long = {"A": "x" * 300, "B": 7}  # rejected by us for Vast, and by RunPod for its type
    spoilt = type(rental_request)(
        tag=rental_request.tag,
        offer=rental_request.offer,
        image=rental_request.image,
        env={**rental_request.env, **too_long},  # type: ignore[dict-item]
        secrets={"TOKEN": SecretStr(TOKEN)},
    )
    answer = remote.provider.create(spoilt)
    assert isinstance(answer, ProviderError)
    shown = [repr(answer), str(vars(remote.provider)), caplog.text, *capfd.readouterr()]
    assert not [text for text in shown if TOKEN in text]
    assert isinstance(remote.provider.create(rental_request), Instance)
    assert TOKEN not in caplog.text


def test_account_bill_equals_the_cost_of_its_seconds(remote: Subject) -> None:
    account = _account(remote)
    offer = remote.offer()
    created = remote.provider.create(remote.request(TAGS.new()))
    assert isinstance(created, Instance)
    began = account.machines[created.id].created_at
    account.clock.advance(9 * 3600)
    assert remote.provider.terminate(created.id) is None
    seconds = account.clock.now - began
    account.clock.advance(50_000)
    assert account.bill_cents() == round(100 * offer.price_per_hour * seconds / 3600)
