"""Contract of every provider."""

from dataclasses import replace

from tests.fleet.contract.subjects import OTHER_TAGS, TAGS, TOKEN, Subject, request
from trackfarm_fleet.providers.base import (
    BadRequest,
    Instance,
    InstanceState,
    NoCapacity,
    OfferQuery,
    Provider,
    ProviderError,
)
from trackfarm_fleet.providers.worker_env import TAG_VARIABLE


def _listed(provider: Provider) -> list[Instance]:
    listed = provider.instances()
    assert not isinstance(listed, ProviderError), listed
    return list(listed)


def _created(subject: Subject, tag: str) -> Instance:
    instance = subject.provider.create(subject.request(tag))
    assert isinstance(instance, Instance), instance
    return instance


def test_offers_match_the_query_and_begin_with_the_cheapest(subject: Subject) -> None:
    query = OfferQuery(min_vram=24, max_price=1.0)
    offers = subject.provider.offers(query)
    assert not isinstance(offers, ProviderError)
    assert offers
    assert all(offer.matches(query) for offer in offers)
    assert all(offer.provider == subject.provider.name for offer in offers)
    prices = [offer.price_per_hour for offer in offers]
    assert prices == sorted(prices)


def test_offers_are_empty_if_none_is_cheap_enough(subject: Subject) -> None:
    assert subject.provider.offers(OfferQuery(max_price=0.001)) == []


def test_create_makes_a_machine_that_is_listed_by_its_tag(subject: Subject) -> None:
    created = _created(subject, tag := TAGS.new())
    (listed,) = _listed(subject.provider)
    assert (listed.id, listed.tag) == (created.id, tag)
    subject.boot()
    (listed,) = _listed(subject.provider)
    assert listed.state is InstanceState.RUNNING
    assert listed.price_per_hour > 0


def test_create_puts_the_invitation_into_the_environment(subject: Subject) -> None:
    _created(subject, tag := TAGS.new())
    (env,) = subject.alive()
    if env:  # an operator may still have to type the command
        assert env[TAG_VARIABLE] == tag
        assert env["TRACKFARM_WORKER_JOIN_TOKEN"] == TOKEN


def test_instances_are_listed_after_a_restart(subject: Subject) -> None:
    created = _created(subject, tag := TAGS.new())
    (listed,) = _listed(subject.reopened(TAGS.prefix))
    assert (listed.id, listed.tag) == (created.id, tag)


def test_create_with_the_same_tag_makes_no_second_machine(subject: Subject) -> None:
    rental_request = subject.request(TAGS.new())
    first = subject.provider.create(rental_request)
    second = subject.provider.create(rental_request)
    assert isinstance(first, Instance)
    assert isinstance(second, Instance)
    assert first.id == second.id
    assert len(subject.alive()) == 1


def test_instances_exclude_machines_of_other_farms(subject: Subject) -> None:
    others = subject.reopened(OTHER_TAGS.prefix)
    foreign = others.create(subject.request(OTHER_TAGS.new()))
    assert isinstance(foreign, Instance)
    assert _listed(subject.provider) == []
    assert len(_listed(others)) == 1


def test_terminate_ends_a_machine_and_may_be_repeated(subject: Subject) -> None:
    created = _created(subject, TAGS.new())
    assert subject.provider.terminate(created.id) is None
    subject.settle()
    assert [i for i in _listed(subject.provider) if i.state is not InstanceState.ENDED] == []
    assert subject.alive() == []
    assert subject.provider.terminate(created.id) is None


def test_terminate_of_an_unknown_machine_succeeds(subject: Subject) -> None:
    assert subject.provider.terminate(subject.unknown_id) is None


def test_create_of_a_taken_offer_is_no_capacity(subject: Subject) -> None:
    offer = subject.offer()
    missing_id = {"runpod": "SECURE//NVIDIA GTX 1", "vast": "9999"}.get(offer.provider)
    if missing_id:
        answer = subject.provider.create(request(replace(offer, id=missing_id), TAGS.new()))
    else:  # an operator's own machine is taken by the first request
        _created(subject, TAGS.new())
        answer = subject.provider.create(request(offer, TAGS.new()))
    assert isinstance(answer, NoCapacity)


def test_create_with_a_bid_is_rejected_without_auctions(subject: Subject) -> None:
    rental_request = replace(subject.request(TAGS.new()), bid=0.2)
    answer = subject.provider.create(rental_request)
    assert isinstance(answer, Instance if subject.provider.name == "vast" else BadRequest)
