"""Cache of credentials: remembered, dropped and revoked entries; the root key; departed workers."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from tests.scheduler.farm_fixture import FarmFixture
from trackfarm.protocol.accounts import KeyRequest, Scope
from trackfarm_scheduler.auth import credential_cache
from trackfarm_scheduler.auth.credential_cache import CredentialCache, api_key_cache, token_cache
from trackfarm_scheduler.db import api_keys, workers
from trackfarm_scheduler.db.digests import digest_of
from trackfarm_scheduler.policy.identity import ROOT_IDENTITY


@dataclass
class Holders:
    """The holders by credential, as a database would know them, and the queries for them."""

    by_credential: dict[str, str]
    queries: list[str] = field(default_factory=list)
    during_query: Callable[[], None] = lambda: None

    def find(self, credential: str) -> str | None:
        self.queries.append(credential)
        holder = self.by_credential.get(credential)
        self.during_query()
        return holder


def cache_of(holders: Holders, *, seconds: float = 60.0) -> CredentialCache[str]:
    return CredentialCache(holders.find, id_of=str, seconds=seconds)


def test_credential_cache_remembers_only_valid_credentials() -> None:
    holders = Holders({"secret": "one"})
    cache = cache_of(holders)
    assert (cache.get("secret"), cache.was_valid("secret")) == (None, False)
    assert (cache.look_up("secret"), cache.look_up("guess")) == ("one", None)
    assert (cache.get("secret"), cache.get("guess")) == ("one", None)
    assert (cache.was_valid("secret"), cache.was_valid("guess")) == (True, False)
    assert holders.queries == ["secret", "guess"]


def test_credential_cache_asks_again_once_an_entry_is_old() -> None:
    cache = cache_of(Holders({"secret": "one"}), seconds=0.0)
    cache.look_up("secret")
    assert (cache.get("secret"), cache.was_valid("secret")) == (None, True)


def test_credential_cache_drops_a_credential_that_became_invalid() -> None:
    holders = Holders({"secret": "one"})
    cache = cache_of(holders)
    cache.look_up("secret")
    del holders.by_credential["secret"]
    assert cache.look_up("secret") is None
    assert (cache.get("secret"), cache.was_valid("secret")) == (None, False)


def test_credential_cache_forgets_all_credentials_of_a_holder() -> None:
    cache = cache_of(Holders({"a": "one", "b": "one", "c": "other"}))
    for credential in "abc":
        cache.look_up(credential)
    cache.forget("one")
    assert [cache.get(credential) for credential in "abc"] == [None, None, "other"]


def test_credential_cache_does_not_keep_a_holder_revoked_during_its_query() -> None:
    holders = Holders({"secret": "one"})
    cache = cache_of(holders)
    holders.during_query = lambda: cache.forget("one")
    assert cache.look_up("secret") == "one"
    assert cache.get("secret") is None


def test_credential_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credential_cache, "MAX_ENTRIES", 3)
    names = [str(number) for number in range(10)]
    cache = cache_of(Holders({name: name for name in names}))
    for name in names:
        cache.look_up(name)
    assert 1 <= sum(cache.was_valid(name) for name in names) <= 3


def test_api_key_cache_knows_the_root_key_without_a_query(farm: FarmFixture) -> None:
    cache = api_key_cache(farm.database, "root secret", farm.clock)
    cache.forget(ROOT_IDENTITY.key_id)
    assert cache.get(digest_of("root secret")) is ROOT_IDENTITY
    assert cache.get(digest_of("another")) is None


def test_api_key_cache_ends_with_the_key(farm: FarmFixture) -> None:
    with farm.database.write() as session:
        request = KeyRequest(name="ci", scopes=[Scope.READ])
        row, secret = api_keys.create(session, request, farm.clock())
        row.expires_at = farm.clock() + 100
        session.add(row)
    cache, digest = api_key_cache(farm.database, "root", farm.clock), digest_of(secret)
    assert cache.look_up(digest) == cache.get(digest)
    farm.clock.advance(101)
    assert cache.get(digest) is None
    assert cache.look_up(digest) is None


def test_token_cache_knows_workers_that_have_not_left(farm: FarmFixture) -> None:
    joined, cache = farm.register("gpu"), token_cache(farm.database)
    worker = cache.look_up(joined.token)
    assert worker is not None
    assert worker.id == joined.worker_id
    with farm.database.write() as session:
        workers.leave(session, worker.id, farm.clock(), reason="left")
    assert cache.get(joined.token) is not None, "it is remembered for a while"
    assert cache.look_up(joined.token) is None
    assert cache.get(joined.token) is None
