"""Heartbeats: extended leases, and commands to the worker."""

from typing import Any

import pytest

from tests.scheduler.api_fixture import ApiFixture, problem
from tests.scheduler.farm_fixture import briefs
from trackfarm.protocol.worker import ClaimAnswer, HeartbeatAnswer
from trackfarm_scheduler.db import jobs
from trackfarm_scheduler.db.offers import ShardOffer


@pytest.fixture
def me(api: ApiFixture) -> dict[str, Any]:
    return api.register_worker()


@pytest.fixture
def job_id(api: ApiFixture) -> str:
    return api.farm.submit(briefs(3)).job_id


@pytest.fixture
def offer(api: ApiFixture, me: dict[str, Any], job_id: str) -> ShardOffer:
    return api.farm.offer(api.farm.worker(me["worker_id"]), job_id)


def beat(
    api: ApiFixture, who: dict[str, Any], *offers: ShardOffer, **fields: Any
) -> HeartbeatAnswer:
    shards = [
        {"shard_id": o.shard_id, "lease_id": o.lease_id, "stage": "computing"} for o in offers
    ]
    answer = api.post_as_worker("heartbeat", who["token"], {"shards": shards} | fields)
    assert answer.status_code == 200, answer.text
    return HeartbeatAnswer.model_validate_json(answer.content)


def claim(api: ApiFixture, who: dict[str, Any], offer: ShardOffer) -> ClaimAnswer:
    path = f"shards/{offer.shard_id}/claim"
    answer = api.post_as_worker(path, who["token"], {"lease_id": offer.lease_id})
    assert answer.status_code == 200, answer.text
    return ClaimAnswer.model_validate_json(answer.content)


def test_heartbeat_extends_leases_and_returns_commands(
    api: ApiFixture, me: dict[str, Any], job_id: str, offer: ShardOffer
) -> None:
    claim(api, me, offer)
    api.farm.clock.advance(5)
    answer = beat(api, me, offer, engine_restarts=1, gpu_utilisation=0.5)
    assert (answer.leases, answer.commands) == ({offer.lease_id: 12.0}, [])
    api.farm.change(job_id, jobs.pause)
    paused = beat(api, me, offer)
    assert paused.leases == {offer.lease_id: 12.0}, "what is finished may still be delivered"
    assert [(c.kind, c.reason) for c in paused.commands] == [("stop_shard", "the job is paused")]
    api.farm.change(job_id, jobs.cancel)
    ended = beat(api, me, offer)
    assert (ended.leases, ended.commands[0].reason) == ({}, "the lease has ended")
    assert ended.commands[0].lease_id == offer.lease_id


def test_heartbeat_for_a_foreign_lease_stops_it(
    api: ApiFixture, me: dict[str, Any], offer: ShardOffer
) -> None:
    claim(api, me, offer)
    thief = api.register_worker()
    answer = beat(api, thief, offer)
    assert answer.leases == {}
    assert answer.commands[0].lease_id == offer.lease_id


@pytest.mark.parametrize(
    "body",
    [
        {"surprise": 1},
        {"gpu_utilisation": 2},
        {"engine_restarts": -1},
        {"shards": [{"shard_id": "x"}]},
        {"shards": [{}] * 17},
    ],
)
def test_heartbeat_refuses_malformed_bodies(
    api: ApiFixture, me: dict[str, Any], body: dict[str, Any]
) -> None:
    refused = problem(api.post_as_worker("heartbeat", me["token"], body), 422)
    assert refused["errors"]


def test_heartbeat_stops_the_slower_speculative_copy(
    api: ApiFixture, me: dict[str, Any], job_id: str, offer: ShardOffer
) -> None:
    claim(api, me, offer)
    rival = api.register_worker()
    winner = api.farm.worker(rival["worker_id"])
    second = api.farm.offer(winner, job_id, race=True)
    claim(api, rival, second)
    assert beat(api, me, offer).commands == []
    api.farm.finish(winner, second)
    told = beat(api, me, offer)
    assert told.leases == {}
    assert [(c.kind, c.lease_id) for c in told.commands] == [("stop_shard", offer.lease_id)]
