"""Idempotency keys: reserved, stored and replayed, on both databases."""

from tests.scheduler.farm_fixture import FarmFixture
from trackfarm_scheduler.db import idempotency
from trackfarm_scheduler.db.idempotency import IdempotencyKey, StoredResponse

KEY = IdempotencyKey("key_a", "token")


def test_reserve_gives_a_key_to_one_request_at_a_time(farm: FarmFixture) -> None:
    response = StoredResponse("digest", 201, "application/json", '{"a":"ä"}')
    with farm.database.write() as session:
        assert idempotency.reserve(session, KEY, "here", 0)
        assert not idempotency.reserve(session, KEY, "there", 1)
        assert idempotency.reserve(session, IdempotencyKey("key_b", "token"), "here", 1)
        assert idempotency.find_response(session, KEY) is None
        idempotency.store_response(session, KEY, response, 2)
        idempotency.release(session, KEY)
        idempotency.release_all(session, "here")
    with farm.database.write() as session:
        assert idempotency.find_response(session, KEY) == response
        assert idempotency.reserve(session, IdempotencyKey("key_b", "token"), "here", 3)
        assert not idempotency.reserve(session, KEY, "here", idempotency.STORED_SECONDS)
        assert idempotency.reserve(session, KEY, "here", idempotency.STORED_SECONDS + 3)
