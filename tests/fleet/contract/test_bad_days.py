"""Contract of network providers during network failures and their own errors."""

import pytest
from pydantic import SecretStr

from tests.fleet.contract.subjects import TAGS, TOKEN, Subject
from tests.fleet.fakes.account import Account, Mishap
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


def test_a_machine_whose_answer_was_lost_is_found_by_its_tag(remote: Subject) -> None:
    wish = remote.request(TAGS.new())
    _account(remote).befall("create", Mishap.HANGS_UP_AFTER)
    created = remote.provider.create(wish)
    assert isinstance(created, Instance)
    assert created.tag == wish.tag
    assert len(remote.alive()) == 1


def test_a_machine_that_no_list_showed_in_time_is_found_by_the_next_try(remote: Subject) -> None:
    wish = remote.request(TAGS.new())
    account = _account(remote)
    account.befall("create", Mishap.HANGS_UP_AFTER)
    account.befall("list", None, *[Mishap.SERVER_ERROR] * 4)
    first = remote.provider.create(wish)
    assert isinstance(first, Unavailable)
    assert first.maybe_done
    assert isinstance(remote.provider.create(wish), Instance)
    assert len(remote.alive()) == 1


def test_a_create_that_may_have_been_done_is_not_sent_twice(remote: Subject) -> None:
    wish = remote.request(TAGS.new())
    _account(remote).befall("create", Mishap.HANGS_UP_BEFORE)
    answer = remote.provider.create(wish)
    assert isinstance(answer, Unavailable)
    assert answer.maybe_done
    assert remote.alive() == []
    assert isinstance(remote.provider.create(wish), Instance)


def test_a_machine_made_twice_is_listed_twice(remote: Subject) -> None:
    """The orphan cleaner has to see both."""
    wish = remote.request(TAGS.new())
    _account(remote).befall("create", Mishap.DONE_TWICE)
    assert isinstance(remote.provider.create(wish), Instance)
    listed = remote.provider.instances()
    assert not isinstance(listed, ProviderError)
    assert [i.tag for i in listed] == [wish.tag, wish.tag]


@pytest.mark.parametrize("operation", ["offers", "list", "terminate"])
def test_a_refusal_for_too_many_calls_is_waited_out(remote: Subject, operation: str) -> None:
    created = remote.provider.create(remote.request(TAGS.new()))
    assert isinstance(created, Instance)
    account = _account(remote)
    account.slept.clear()
    account.befall(operation, Mishap.RATE_LIMITED)
    match operation:
        case "offers":
            assert not isinstance(remote.provider.offers(OfferQuery()), ProviderError)
        case "list":
            assert not isinstance(remote.provider.instances(), ProviderError)
        case _:
            assert remote.provider.terminate(created.id) is None
    expected = 7.0 if remote.provider.name == "runpod" else 5.0
    assert expected in account.slept


def test_a_rate_limit_that_does_not_end_is_handed_back(remote: Subject) -> None:
    _account(remote).befall("list", *[Mishap.RATE_LIMITED] * 9)
    answer = remote.provider.instances()
    assert isinstance(answer, RateLimited)
    assert answer.retry_after > 0


def test_no_capacity_rents_nothing(remote: Subject) -> None:
    wish = remote.request(TAGS.new())
    _account(remote).befall("create", Mishap.NO_CAPACITY)
    assert isinstance(remote.provider.create(wish), NoCapacity)
    assert remote.alive() == []


def test_a_provider_that_is_away_is_unavailable_for_everything(remote: Subject) -> None:
    wish = remote.request(TAGS.new())
    _account(remote).down = True
    assert isinstance(remote.provider.offers(OfferQuery()), Unavailable)
    assert isinstance(remote.provider.instances(), Unavailable)
    assert isinstance(remote.provider.terminate("1"), Unavailable)
    assert isinstance(remote.provider.create(wish), Unavailable)
    assert remote.alive() == []


def test_ending_fails_twice_then_works(remote: Subject) -> None:
    created = remote.provider.create(remote.request(TAGS.new()))
    assert isinstance(created, Instance)
    _account(remote).befall("terminate", Mishap.SERVER_ERROR, Mishap.SERVER_ERROR)
    assert remote.provider.terminate(created.id) is None
    assert remote.alive() == []


def test_ending_that_keeps_failing_says_so(remote: Subject) -> None:
    created = remote.provider.create(remote.request(TAGS.new()))
    assert isinstance(created, Instance)
    _account(remote).befall("terminate", *[Mishap.SERVER_ERROR] * 4)
    assert isinstance(remote.provider.terminate(created.id), Unavailable)
    assert len(remote.alive()) == 1


def test_a_machine_that_was_ended_may_be_listed_for_a_while(remote: Subject) -> None:
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


def test_a_wrong_key_is_said_to_be_one_and_not_repeated(remote: Subject) -> None:
    assert remote.wrong_key is not None
    stranger = remote.wrong_key()
    for answer in (stranger.offers(OfferQuery()), stranger.instances()):
        assert isinstance(answer, AuthFailed)
        assert "a-wrong-key-0123456789" not in repr(answer)


def test_no_secret_is_ever_shown(
    remote: Subject, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the repr of a request nor a provider's error that quotes the request shows a
    secret."""
    caplog.set_level(0)
    wish = remote.request(TAGS.new())
    assert TOKEN not in repr(wish)
    too_long = {"A": "x" * 300, "B": 7}  # rejected by us for Vast, and by RunPod for its type
    spoilt = type(wish)(
        tag=wish.tag,
        offer=wish.offer,
        image=wish.image,
        env={**wish.env, **too_long},  # type: ignore[dict-item]
        secrets={"TOKEN": SecretStr(TOKEN)},
    )
    answer = remote.provider.create(spoilt)
    assert isinstance(answer, ProviderError)
    shown = [repr(answer), str(vars(remote.provider)), caplog.text, *capfd.readouterr()]
    assert not [text for text in shown if TOKEN in text]
    assert isinstance(remote.provider.create(wish), Instance)
    assert TOKEN not in caplog.text


def test_the_bill_is_what_the_seconds_cost_to_the_cent(remote: Subject) -> None:
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
