"""Uploads of sources, and the sources that a submission may use."""

import hashlib
import json
from typing import Any

import pytest

from tests.scheduler.api.test_worker_api import claim
from tests.scheduler.api_fixture import ApiFixture, problem
from tests.scheduler.farm_fixture import briefs
from trackfarm.identity import seed_of
from trackfarm.protocol.limits import SOURCE_BYTES
from trackfarm_scheduler.db.tables import JobRow

SONG = b"a song"
SHA256 = hashlib.sha256(SONG).hexdigest()
KEY = f"uploads/operator/{SHA256[:2]}/{SHA256}"
HEADER = json.dumps({"catalog": "covers", "model_set": "tiny"})


def announce(api: ApiFixture, **changes: Any) -> Any:
    body = {"size": len(SONG), "sha256": SHA256} | changes
    headers = {"Authorization": "Bearer operator-key-0123456789"}
    return api.http.post("/api/v1/uploads", headers=headers, json=body)


def cover(source: str, **fields: Any) -> str:
    return json.dumps(
        {"prompt": "x", "duration": 60, "task_type": "cover", "src_audio": source, **fields}
    )


def test_upload_goes_to_a_key_of_its_content(api: ApiFixture) -> None:
    assert announce(api).json() == {
        "source": f"upload:{SHA256}",
        "url": f"memory://put/{KEY}",
        "headers": {"x-kept": "1"},
    }


def test_upload_that_is_stored_is_not_sent_again(api: ApiFixture) -> None:
    api.farm.objects.content[KEY] = SONG
    assert announce(api).json() == {"source": f"upload:{SHA256}", "url": None, "headers": {}}
    api.farm.objects.content[KEY] = SONG[:2]
    assert announce(api).json()["url"], "what was cut off is sent again"


@pytest.mark.parametrize(
    "change",
    [{"size": 0}, {"size": SOURCE_BYTES + 1}, {"sha256": "../../etc"}, {"name": "x"}],
)
def test_upload_refuses_malformed_requests(api: ApiFixture, change: dict[str, Any]) -> None:
    assert problem(announce(api, **change), 422)["errors"]


def test_upload_needs_a_key(api: ApiFixture) -> None:
    problem(api.http.post("/api/v1/uploads", json={"size": 1, "sha256": SHA256}), 401)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (f"upload:{SHA256}", "does not exist"),
        (f"object:{KEY}", "does not exist"),
        ("object:tracks/00/stranger/lease.mp3", "of yours"),
        (f"object:uploads/stranger/{SHA256[:2]}/{SHA256}", "of yours"),
        ("object:checks/probe", "of yours"),
        ("object:uploads/operator/../../settings", "of yours"),
        ("music/a.wav", "trackfarm submit"),
        ("/etc/passwd", "trackfarm submit"),
        ("file:///etc/passwd", "file:"),
    ],
)
def test_sources_of_others_and_local_files_are_refused(
    api: ApiFixture, source: str, words: str
) -> None:
    for key in ("tracks/00/stranger/lease.mp3", "checks/probe", "settings"):
        api.farm.objects.content[key] = b"somebody else's"
    good = cover("https://example.org/a.wav")
    body = problem(api.send_lines([HEADER, good, cover(source)]), 422)
    assert [(error["row"], error["field"]) for error in body["errors"]] == [(2, "src_audio")]
    assert words in body["errors"][0]["message"]
    assert api.farm.count(JobRow) == 0


def test_sources_are_looked_up_once_each(api: ApiFixture) -> None:
    """Each distinct source is looked up once per submission."""
    lines = [cover(f"upload:{SHA256}", seed=n) for n in range(3)]
    body = problem(api.send_lines([HEADER, *lines]), 422)
    assert [error["row"] for error in body["errors"]] == [1, 2, 3]
    api.farm.objects.content[KEY] = SONG
    assert api.send_lines([HEADER, *lines]).status_code == 201


def test_sources_reach_the_worker_as_urls(api: ApiFixture) -> None:
    me = api.register_worker()
    worker = api.farm.worker(me["worker_id"])
    first = api.farm.submit(briefs(1), catalog="first")
    made = api.farm.lease(worker, first.job_id)
    api.farm.finish(worker, made)
    (artifact,) = api.farm.artifacts()
    api.farm.objects.content[KEY] = SONG
    lines = [
        cover("https://example.org/a.wav?id=1", reference_audio=f"upload:{SHA256}"),
        cover(f"object:{artifact.object_key}", seed=3),
        cover(f"object:{KEY}"),
        json.dumps({"prompt": "x", "duration": 60}),
    ]
    submitted = api.send_lines([HEADER, *lines])
    assert submitted.status_code == 201, submitted.text
    offer = api.farm.offer(worker, submitted.json()["job"]["id"])
    claimed = claim(api, me, offer)
    assert claimed.model_set == "tiny"
    assert [order.source_urls for order in claimed.tracks] == [
        {
            "src_audio": "https://example.org/a.wav?id=1",
            "reference_audio": f"memory://get/{KEY}",
        },
        {"src_audio": f"memory://get/{artifact.object_key}"},
        {"src_audio": f"memory://get/{KEY}"},
        {},
    ]
    plain, given = claimed.tracks[0], claimed.tracks[1]
    assert plain.next_seeds == tuple(
        seed_of(plain.key, n, brief_seed=None, variation=0) for n in (1, 2)
    )
    assert (given.seed, given.next_seeds) == (3, ()), "a seed that was given is the only one"
