"""Worker API, server side, called by honest and hostile workers."""

from typing import Any

import pytest

from tests.scheduler.api_fixture import API_KEY, JOIN_TOKEN, ApiFixture, problem
from tests.scheduler.farm_fixture import briefs
from trackfarm.protocol.worker import ClaimAnswer, ReportAnswer, ReportVerdict
from trackfarm_scheduler.db import jobs
from trackfarm_scheduler.db.offers import ShardOffer
from trackfarm_scheduler.db.tables import WorkerRow


@pytest.fixture
def me(api: ApiFixture) -> dict[str, Any]:
    return api.register_worker()


@pytest.fixture
def job_id(api: ApiFixture) -> str:
    return api.farm.submit(briefs(3)).job_id


@pytest.fixture
def offer(api: ApiFixture, me: dict[str, Any], job_id: str) -> ShardOffer:
    return api.farm.offer(api.farm.worker(me["worker_id"]), job_id)


def claim(api: ApiFixture, who: dict[str, Any], offer: ShardOffer) -> ClaimAnswer:
    path = f"shards/{offer.shard_id}/claim"
    answer = api.post_as_worker(path, who["token"], {"lease_id": offer.lease_id})
    assert answer.status_code == 200, answer.text
    return ClaimAnswer.model_validate_json(answer.content)


def test_register_exchanges_the_join_token_for_a_worker_token(
    api: ApiFixture, me: dict[str, Any]
) -> None:
    assert me["queue"] == f"gpu.vram24.tiny.{me['worker_id']}"
    assert me["broker_url"].startswith("redis://")
    assert me["intervals"] == {"heartbeat": 1.0, "lost_after": 12.0}
    answer = api.post_as_worker("heartbeat", me["token"], {"shards": []})
    assert answer.json()["commands"] == []
    other = api.register_worker(provider="vast")
    assert (other["queue"], other["token"]) != (me["queue"], me["token"])
    assert other["worker_id"] in other["queue"]


@pytest.mark.parametrize("token", ["", "wrong", API_KEY])
def test_register_needs_the_join_token(api: ApiFixture, token: str) -> None:
    facts = {"name": "gpu", "gpu": "cpu", "memory_mib": 24_564, "model_set": "tiny"}
    problem(api.post_as_worker("register", token, facts), 401)
    assert api.farm.count(WorkerRow) == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_set": "suno"}, "unknown model set"),
        ({"memory_mib": 2_048}, "smallest tier"),
        ({"memory_mib": -1}, "schema"),
        ({"surprise": 1}, "schema"),
        ({"name": "x" * 201}, "schema"),
        ({"price_per_hour": -1}, "schema"),
        ({"digests": {"dit": "not hex"}}, "schema"),
    ],
)
def test_register_refuses_unsuitable_workers(
    api: ApiFixture, change: dict[str, Any], words: str
) -> None:
    assert words in problem(api.register(**change), 422)["detail"]
    assert api.farm.count(WorkerRow) == 0


@pytest.mark.parametrize(
    "path", ["heartbeat", "leave", "shards/s/claim", "shards/s/report", "shards/s/release"]
)
@pytest.mark.parametrize("token", ["", "wrong", API_KEY, JOIN_TOKEN])
def test_routes_need_a_worker_token(api: ApiFixture, path: str, token: str) -> None:
    problem(api.post_as_worker(path, token), 401)


def test_claim_has_all_that_is_needed_and_nothing_else(
    api: ApiFixture, me: dict[str, Any], offer: ShardOffer
) -> None:
    claimed = claim(api, me, offer)
    assert (claimed.shard_id, claimed.lease_id) == (offer.shard_id, offer.lease_id)
    assert claimed.lease_seconds == 12
    for order, attempt in zip(claimed.tracks, api.farm.attempts(offer), strict=True):
        assert (order.track_id, order.seed) == (attempt.track_id, attempt.seed)
        assert order.object_key == attempt.object_key
        assert order.upload_url == f"memory://put/{attempt.object_key}"
        assert order.upload_headers == {"x-kept": "1"}
        assert order.brief.prompt.startswith("piano")
        assert attempt.url_expires_at == api.farm.clock() + 900


def test_claim_again_renews_urls_of_open_tracks(
    api: ApiFixture, me: dict[str, Any], offer: ShardOffer
) -> None:
    first = claim(api, me, offer).tracks[0].track_id
    worker = next(w for w in api.farm.rows(WorkerRow) if w.id == me["worker_id"])
    api.farm.report(worker, offer, done=[api.farm.upload(offer, first)])
    api.farm.clock.advance(1_000)
    again = claim(api, me, offer)
    assert first not in {order.track_id for order in again.tracks}
    assert len(again.tracks) == 2
    assert api.farm.attempts(offer)[1].url_expires_at == api.farm.clock() + 900


def test_claim_is_refused_to_others(api: ApiFixture, me: dict[str, Any], offer: ShardOffer) -> None:
    other, elsewhere = api.register_worker(), api.register_worker(memory_mib=143_771)
    path, body = f"shards/{offer.shard_id}/claim", {"lease_id": offer.lease_id}
    problem(api.post_as_worker("shards/shard_0000/claim", me["token"], body), 409)
    problem(api.post_as_worker(path, me["token"], {"lease_id": "lease_0000"}), 409)
    problem(api.post_as_worker(path, me["token"], {"lease_id": "x"}), 422)
    problem(api.post_as_worker(path, elsewhere["token"], body), 409)
    claim(api, me, offer)
    problem(api.post_as_worker(path, other["token"], body), 409)


def test_claim_of_a_cancelled_job_is_gone(
    api: ApiFixture, me: dict[str, Any], job_id: str, offer: ShardOffer
) -> None:
    api.farm.change(job_id, jobs.cancel)
    body = {"lease_id": offer.lease_id}
    problem(api.post_as_worker(f"shards/{offer.shard_id}/claim", me["token"], body), 410)


def test_report_commits_results_once(
    api: ApiFixture, me: dict[str, Any], offer: ShardOffer
) -> None:
    first, second, _ = [order.track_id for order in claim(api, me, offer).tracks]
    report = {
        "lease_id": offer.lease_id,
        "done": [api.farm.upload(offer, first).model_dump(mode="json")],
        "failed": [{"track_id": second, "kind": "silent", "message": "nothing"}],
    }
    path = f"shards/{offer.shard_id}/report"
    verdicts = [
        [v.verdict for v in ReportAnswer.model_validate_json(answer.content).tracks]
        for answer in (api.post_as_worker(path, me["token"], report) for _ in range(2))
    ]
    assert verdicts == [
        [ReportVerdict.COMMITTED, ReportVerdict.NOTED],
        [ReportVerdict.ALREADY_DONE, ReportVerdict.REFUSED],
    ]


def test_report_with_a_foreign_object_key_is_refused_by_track(
    api: ApiFixture, me: dict[str, Any], offer: ShardOffer
) -> None:
    first = claim(api, me, offer).tracks[0].track_id
    done = api.farm.upload(offer, first).model_dump(mode="json")
    report = {"lease_id": offer.lease_id, "done": [done | {"object_key": "../../etc/passwd"}]}
    answer = api.post_as_worker(f"shards/{offer.shard_id}/report", me["token"], report)
    assert answer.status_code == 200, answer.text
    assert answer.json()["tracks"][0]["verdict"] == "refused"


def test_release_and_leave_return_tracks(
    api: ApiFixture, me: dict[str, Any], job_id: str, offer: ShardOffer
) -> None:
    ids = [order.track_id for order in claim(api, me, offer).tracks]
    path = f"shards/{offer.shard_id}/release"
    body = {"lease_id": offer.lease_id, "track_ids": ids[:1], "reason": "draining"}
    assert api.post_as_worker(path, me["token"], body).json() == {"released": 1}
    assert api.post_as_worker(path, me["token"], body).json() == {"released": 0}
    problem(api.post_as_worker(path, api.register_worker()["token"], body), 409)
    problem(api.post_as_worker("shards/shard_0000/release", me["token"], body), 409)
    problem(api.post_as_worker(path, me["token"], body | {"reason": "bored"}), 422)
    assert api.post_as_worker("leave", me["token"], {"reason": "drained"}).status_code == 200
    assert api.farm.states(job_id) == {"pending": 3}
    problem(api.post_as_worker("heartbeat", me["token"]), 401)
