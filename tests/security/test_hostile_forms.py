"""Malformed reports and other calls with a valid worker token."""

import json
import time
from typing import Any

import httpx
import pytest

from tests.scheduler.api_fixture import problem
from tests.security.attacked_farm import AttackedFarm
from tests.security.stub_workers import StubWorker, result, verdict_of

# Each is a report of one of its own tracks, with one change.
NAN, INFINITE = float("nan"), float("inf")
HEARD = ["seconds", "peak_dbfs", "rms_dbfs", "clipped", "dc", "lufs"]
DEEP = "[" * 50_000 + "]" * 50_000
WIDE = {f"name-{n}": n for n in range(150_000)}
FORMS: dict[str, dict[str, Any]] = {
    **{
        f"{name} is {value}": {"measured": {name: value}}
        for name in HEARD
        for value in (NAN, -INFINITE)
    },
    "times are not numbers": {"timings": {"service": NAN}},
    "times are infinite": {"timings": {"service": INFINITE}},
    "times run backwards": {"timings": {"denoise": -1}},
    "a week of time": {"timings": {"service": 7 * 86_400}},
    "no size": {"size": 0},
    "a size beyond any store": {"size": 10**30},
    "a seed beyond any column": {"seed": 2**63},
    "a negative seed": {"seed": -1},
    "a track beyond any column": {"track_id": 2**63},
    "a number of five thousand digits": {"track_id": "N"},
    "a key of a megabyte": {"object_key": "x" * 2**20},
    "a digest that is none": {"sha256": "z" * 64},
    "a digest with a line break": {"md5": "0" * 32 + "\n"},
    "a batch of nothing but padding": {"batch": {"padding": 1}},
    "a field of its own": {"committed": True},
    "a name that no text may have": {"\ud800": 1},
    "a NUL": {"object_key": "a\0b"},
    "a hundred thousand names": WIDE,
    "a nest": {"batch": "DEEP"},
}


@pytest.mark.parametrize("name", FORMS)
def test_malformed_report_is_refused_as_a_whole(attacked: AttackedFarm, name: str) -> None:
    order, before = attacked.own_shard.tracks[0], attacked.held()
    done = result(order, **FORMS[name])
    exchanged = json.dumps({"lease_id": attacked.own_shard.lease_id, "done": [done]})
    exchanged = exchanged.replace('"DEEP"', DEEP).replace('"N"', "9" * 5_000)
    began = time.monotonic()
    answer = posted(attacked, f"shards/{attacked.own_shard.shard_id}/report", exchanged)
    assert answer.status_code in (400, 413, 422), answer.text
    assert problem(answer, answer.status_code)["detail"]
    assert len(answer.content) < 2**17
    assert time.monotonic() - began < 3
    assert attacked.held() == before


def posted(attacked: AttackedFarm, path: str, body: str) -> httpx.Response:
    headers = {"Content-Type": "application/json"}
    return attacked.farm.ask(
        "POST", f"/worker/v1/{path}", attacked.hostile.token, content=body.encode(), headers=headers
    )


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("shards/shard_0000/report", {"lease_id": "lease_0000", "done": [{}] * 10_000}, 422),
        ("shards/shard_0000/report", {"lease_id": "' OR 1=1 --"}, 422),
        ("shards/shard_0000/report", {"lease_id": "x" * 17 * 2**20}, 413),
        ("shards/shard_0000/claim", {"lease_id": "x" * 2 * 2**20}, 413),
        ("heartbeat", {"shards": [], "step": "x" * 2**17}, 413),
        ("heartbeat", {"gpu_utilisation": NAN}, 422),
        ("heartbeat", {"engine_restarts": 10**12}, 422),
        ("heartbeat", {"shards": [{}] * 17}, 422),
        ("register", {"name": "x" * 2**17}, 413),
        ("leave", {"reason": "x" * 300}, 422),
    ],
)
def test_report_that_is_too_long_is_refused(
    attacked: AttackedFarm, path: str, body: dict[str, Any], status: int
) -> None:
    before = attacked.held()
    answer = posted(attacked, path, json.dumps(body))
    assert problem(answer, status)["detail"]
    assert len(answer.content) < 2**17
    assert attacked.held() == before


def test_track_reported_a_thousand_times_is_committed_once(
    attacked: AttackedFarm, hostile_worker: StubWorker
) -> None:
    (shard,) = hostile_worker.shards
    order = shard.tracks[0]
    hostile_worker.put(order)
    verdicts = hostile_worker.report(shard, *[result(order)] * 1_000).json()["tracks"]
    assert [v["verdict"] for v in verdicts] == ["committed", *["already_done"] * 999]
    assert len(attacked.artifacts_of(order.track_id)) == 1


def test_control_characters_are_removed_from_texts(
    attacked: AttackedFarm, hostile_worker: StubWorker
) -> None:
    (shard,) = hostile_worker.shards
    obeyed = "\x1b]0;owned\x07\x9b2J\r\nworker_removed\u202e"
    failed = {"track_id": shard.tracks[0].track_id, "kind": "silent", "message": obeyed}
    assert verdict_of(hostile_worker.report(shard, failed=[failed]))[0] == "noted"
    named = attacked.workers.join(obeyed)
    attacked.workers.stop_heartbeats(named)
    named.say("leave", reason=obeyed)
    shown = [worker.model_dump_json() for worker in attacked.farm.client.workers()]
    for text in (
        *shown,
        *attacked.events("track_retried", hostile_worker),
        attacked.farm.log.read_text(),
    ):
        assert not {"\x1b", "\x07", "\x9b", "\r", "\u202e"} & set(json_text(text))
    assert "\nworker_removed" not in attacked.farm.log.read_text()


def json_text(text: str) -> str:
    """Decode JSON escapes in a text."""
    return text.encode().decode("unicode_escape", errors="ignore")
