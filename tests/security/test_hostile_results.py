"""Abuse of upload URLs and false reports by a hostile worker."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlmodel import col

from tests.scheduler.api_fixture import problem
from tests.security.attacked_farm import MOST_BYTES, TTL, AttackedFarm
from tests.security.guarded_farm import FACTS
from tests.security.stub_workers import HIGH_PRICE_PER_HOUR, StubWorker, music, result, verdict_of
from tests.servers.process import wait_until
from trackfarm.protocol.worker import ClaimAnswer, TrackOrder
from trackfarm_scheduler.db.tables import AttemptRow
from trackfarm_scheduler.policy.states import BAD_WORKER_STRIKES

REFUSED = (400, 403, 404, 405, 412, 501)
BUCKET_PART = 1  # of the path, behind the slash
OTHER_KEY = "tracks/00/" + "0" * 32 + "/lease_0000.mp3"


def at(order: TrackOrder, path: str) -> str:
    """Return the signed URL with another path."""
    return urlsplit(order.upload_url)._replace(path=path).geturl()


def path_of(order: TrackOrder) -> str:
    return urlsplit(order.upload_url).path


def bucket_of(order: TrackOrder) -> str:
    return "/" + path_of(order).split("/")[BUCKET_PART]


# Misuses of one upload URL: the method, the URL, and headers besides the required ones; an empty
# header is left out.

Attempted = tuple[str, str, dict[str, str]]
Misuse = Callable[[TrackOrder, TrackOrder], Attempted]
MISUSES: dict[str, Misuse] = {
    "write the other's object": lambda own, other: ("PUT", at(own, path_of(other)), {}),
    "write another key": lambda own, _: ("PUT", at(own, f"{bucket_of(own)}/{OTHER_KEY}"), {}),
    "write beside the tracks": lambda own, _: ("PUT", at(own, f"{bucket_of(own)}/x.mp3"), {}),
    "write upwards": lambda own, other: (
        "PUT",
        at(own, f"{path_of(own)}/..%2f..%2f{path_of(other).rpartition('/')[2]}"),
        {},
    ),
    "write another bucket": lambda own, _: ("PUT", at(own, "/another/x.mp3"), {}),
    "make a bucket": lambda own, _: ("PUT", at(own, "/another"), {}),
    "read it": lambda own, _: ("GET", own.upload_url, {}),
    "look at it": lambda own, _: ("HEAD", own.upload_url, {}),
    "remove it": lambda own, _: ("DELETE", own.upload_url, {}),
    "post to it": lambda own, _: ("POST", own.upload_url, {}),
    "read the other's": lambda own, other: ("GET", at(own, path_of(other)), {}),
    "remove the other's": lambda own, other: ("DELETE", at(own, path_of(other)), {}),
    "list the bucket": lambda own, _: ("GET", at(own, bucket_of(own)), {}),
    "list all buckets": lambda own, _: ("GET", at(own, "/"), {}),
    "remove the bucket": lambda own, _: ("DELETE", at(own, bucket_of(own)), {}),
    "remove many": lambda own, _: ("POST", f"{at(own, bucket_of(own))}&delete=", {}),
    "upload in parts": lambda own, _: ("POST", f"{own.upload_url}&uploads=", {}),
    "change rights": lambda own, _: ("PUT", f"{own.upload_url}&acl=", {}),
    "open it to all": lambda own, _: ("PUT", own.upload_url, {"x-amz-acl": "public-read"}),
    "copy the other's": lambda own, other: (
        "PUT",
        own.upload_url,
        {"x-amz-copy-source": path_of(other)},
    ),
    "write without the condition": lambda own, _: ("PUT", own.upload_url, {"if-none-match": ""}),
    "keep the URL longer": lambda own, _: (
        "PUT",
        own.upload_url.replace("X-Amz-Expires=5", "X-Amz-Expires=604800"),
        {},
    ),
    "go without a signature": lambda own, _: ("PUT", own.upload_url.partition("?")[0], {}),
}


@pytest.mark.parametrize("name", MISUSES)
def test_upload_url_is_good_for_one_object_and_one_put(attacked: AttackedFarm, name: str) -> None:
    """The other worker's object exists; the hostile worker's own does not yet."""
    shard = attacked.hostile.claim_again(attacked.own_shard)
    other = attacked.other_shard.tracks[0]
    before = attacked.stored()
    assert other.object_key in before
    method, url, more = MISUSES[name](shard.tracks[0], other)
    headers = {**shard.tracks[0].upload_headers, **more}
    sent = {name: value for name, value in headers.items() if value}
    answer = attacked.hostile.store.request(method, url, headers=sent, content=b"forged")
    assert answer.status_code in REFUSED, answer.text
    assert attacked.stored().items() <= before.items(), "nothing new, nothing changed"
    assert other.object_key in attacked.stored()


def test_committed_object_cannot_be_replaced(
    attacked: AttackedFarm, hostile_worker: StubWorker
) -> None:
    order, shard = hostile_worker.shards[0].tracks[0], hostile_worker.shards[0]
    assert hostile_worker.put(order).is_success
    assert verdict_of(hostile_worker.report(shard, result(order))) == ("committed", "")
    assert hostile_worker.put(order, b"\0" * len(music(order))).status_code == 412
    with attacked.objects.open(order.object_key) as chunks:
        assert b"".join(chunks) == music(order)
    other = result(order, b"other")
    assert verdict_of(hostile_worker.report(shard, other))[0] == "already_done"
    (artifact,) = attacked.artifacts_of(order.track_id)
    assert artifact.sha256 == result(order)["sha256"]


def test_committed_track_cannot_be_failed_or_released(
    attacked: AttackedFarm, hostile_worker: StubWorker
) -> None:
    order, shard = hostile_worker.shards[0].tracks[0], hostile_worker.shards[0]
    hostile_worker.put(order)
    hostile_worker.report(shard, result(order))
    failed = {"track_id": order.track_id, "kind": "bad_input", "message": "no, it is bad"}
    assert verdict_of(hostile_worker.report(shard, failed=[failed]))[0] == "refused"
    exchanged = {"lease_id": shard.lease_id, "track_ids": [order.track_id], "reason": "draining"}
    assert hostile_worker.say(f"shards/{shard.shard_id}/release", **exchanged).json() == {
        "released": 0
    }
    assert len(attacked.artifacts_of(order.track_id)) == 1


# False reports of one of its own tracks. `put`: the stored content, if any.


@dataclass(frozen=True)
class FalseReport:
    words: str
    changes: dict[str, Any] = field(default_factory=dict)
    put: Callable[[TrackOrder], bytes] | None = music
    strikes: int = 1
    measured: dict[str, Any] = field(default_factory=dict)


FALSE_REPORTS = {
    "nothing was stored": FalseReport("no such object", put=None, strikes=0),
    "more than was said": FalseReport("bytes, the report says", put=lambda o: music(o) + b"more"),
    "less than was said": FalseReport("bytes, the report says", put=lambda o: music(o)[:-1]),
    "too much": FalseReport(
        "too large", {"size": MOST_BYTES + 1}, put=lambda _: b"x" * (MOST_BYTES + 1)
    ),
    "another MD5": FalseReport("MD5", {"md5": "0" * 32}),
    "another content": FalseReport("MD5", put=lambda o: music(o)[::-1]),
    "another SHA-256": FalseReport("SHA-256", {"sha256": "0" * 64}),
    "too long": FalseReport("were requested", measured={"seconds": 100.0}),
    "too short": FalseReport("were requested", measured={"seconds": 1.0}),
    "too many channels": FalseReport("channels", measured={"channels": 8}),
    "a rate that MP3 has not": FalseReport("samples per second", measured={"sample_rate": 384_000}),
    "a size that MP3 has not": FalseReport("cannot have", put=lambda _: b"ID3"),
    "a seed of its own": FalseReport("was not offered", {"seed": 7}, strikes=0),
}


@pytest.mark.parametrize("name", FALSE_REPORTS)
def test_false_report_is_refused_removed_and_counted(
    attacked: AttackedFarm, hostile_worker: StubWorker, name: str
) -> None:
    lie, (shard,) = FALSE_REPORTS[name], hostile_worker.shards
    order = shard.tracks[0]
    honest = music(order)
    if lie.put is not None:
        stored = lie.put(order)
        assert hostile_worker.put(order, stored).is_success
        honest = stored if name in ("too much", "a size that MP3 has not") else honest
    done = result(order, honest, measured=dict(lie.measured), **lie.changes)
    verdict, reason = verdict_of(hostile_worker.report(shard, done))
    assert (verdict, lie.words in reason) == ("refused", True), reason
    assert attacked.row(hostile_worker).strikes == lie.strikes
    (event,) = attacked.events("track_retried", hostile_worker)
    assert "object_mismatch" in event
    assert order.object_key not in attacked.stored()
    assert attacked.artifacts_of(order.track_id) == []
    assert attacked.farm.client.job(attacked.job_id).tracks.failed == 0, "the track is not to blame"


@pytest.mark.parametrize(
    "key",
    [
        "the other's",
        OTHER_KEY,
        "uploads/operator/00/" + "0" * 64,
        "../farm.db",
        "/etc/passwd",
        "",
        "tracks/\x1b[2J",
    ],
)
def test_report_of_another_key_is_refused_and_counted(
    attacked: AttackedFarm, hostile_worker: StubWorker, key: str
) -> None:
    (shard,) = hostile_worker.shards
    order, other = shard.tracks[0], attacked.other_shard.tracks[0]
    named = other.object_key if key == "the other's" else key
    answer = hostile_worker.report(shard, result(order, object_key=named))
    assert verdict_of(answer) == ("refused", "the object key does not belong to this lease")
    assert attacked.row(hostile_worker).strikes == 1
    assert other.object_key in attacked.stored()


def test_worker_with_three_false_reports_is_quarantined(attacked: AttackedFarm) -> None:
    hostile_worker = attacked.workers.join("quarantined")
    kept = hostile_worker.claim_next()
    for _ in range(BAD_WORKER_STRIKES):
        hostile_worker.report(kept, result(kept.tracks[0], object_key=OTHER_KEY))
    assert attacked.row(hostile_worker).state == "quarantined"
    assert attacked.events("worker_quarantined", hostile_worker)
    assert hostile_worker.put(kept.tracks[0]).is_success
    assert verdict_of(hostile_worker.report(kept, result(kept.tracks[0]))) == (
        "refused",
        "the lease has ended",
    )
    problem(hostile_worker.claim(kept.shard_id, kept.lease_id), 409)
    problem(attacked.farm.say("register", hostile_worker.token, FACTS), 401)


def test_upload_url_of_a_false_report_brings_nothing_back(attacked: AttackedFarm) -> None:
    """The object of a false report is removed at once, but its URL can rewrite it until expiry."""
    hostile_worker = attacked.workers.join("persistent")
    shard = hostile_worker.claim_next()
    order = shard.tracks[0]
    hostile_worker.put(order)
    lies: list[dict[str, Any]] = [{"object_key": OTHER_KEY}] * 2 + [{"md5": "0" * 32}]
    for lie in lies:
        assert verdict_of(hostile_worker.report(shard, result(order, **lie)))[0] == "refused"
    assert attacked.row(hostile_worker).state == "quarantined"
    assert hostile_worker.put(order).is_success
    wait_until(lambda: not attacked.uncleaned_keys(shard), timeout_s=20, what="it is swept")
    assert order.object_key not in attacked.stored()


def test_reported_day_of_engine_time_is_neither_paid_nor_learnt(
    attacked: AttackedFarm, hostile_worker: StubWorker
) -> None:
    before = attacked.farm.client.job(attacked.job_id).spent
    (shard,) = hostile_worker.shards
    order = shard.tracks[0]
    hostile_worker.put(order)
    day = {name: 86_400 for name in ("service", "denoise", "fetch", "upload")}
    assert verdict_of(hostile_worker.report(shard, result(order, timings=day)))[0] == "committed"
    assert attacked.logged("timings_clipped", hostile_worker)
    spent = attacked.farm.client.job(attacked.job_id).spent - before
    assert 0 < spent < 30 * HIGH_PRICE_PER_HOUR / 3600
    where = (col(AttemptRow.lease_id) == shard.lease_id, col(AttemptRow.track_id) == order.track_id)
    (attempt,) = attacked.farm.database.rows(AttemptRow, *where)
    assert "86400" not in attempt.timings


def test_upload_url_expires(attacked: AttackedFarm, hostile_worker: StubWorker) -> None:
    order = hostile_worker.shards[0].tracks[0]
    ended = attacked.silent_since + TTL + 1
    wait_until(lambda: time.monotonic() > ended, timeout_s=15, what="the first URLs are over")
    old = attacked.silent.shards[0].tracks[0]
    assert attacked.silent.put(old).status_code == 403
    assert old.object_key not in attacked.stored()
    assert hostile_worker.put(order).is_success


def test_expired_lease_commits_nothing(attacked: AttackedFarm) -> None:
    (shard,) = attacked.silent.shards

    def is_over() -> bool:
        return attacked.lease(shard).state == "ended"

    wait_until(is_over, timeout_s=20, what="its lease has expired")
    answer = attacked.silent.report(shard, result(shard.tracks[0]))
    # Unless another worker has made the track in the meantime.
    assert verdict_of(answer) in [("refused", "the lease has ended"), ("already_done", "")]
    problem(attacked.silent.claim(shard.shard_id, shard.lease_id), 409)


def test_finished_shard_cannot_be_claimed_again(
    attacked: AttackedFarm, hostile_worker: StubWorker
) -> None:
    shard: ClaimAnswer = hostile_worker.shards[0]
    assert set(hostile_worker.make(shard)) == {"committed"}
    problem(hostile_worker.claim(shard.shard_id, shard.lease_id), 409)
    answer = hostile_worker.report(shard, result(shard.tracks[0]))
    assert verdict_of(answer)[0] == "already_done"
