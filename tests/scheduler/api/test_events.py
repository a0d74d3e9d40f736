"""Server-sent events: content, visibility, resumption, and disconnecting slow clients."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI

from tests.scheduler.api_fixture import (
    API_KEY,
    ApiFixture,
    Switch,
    bearer,
    build,
    create_key,
    problem,
)
from tests.scheduler.farm_fixture import FarmFixture, briefs
from tests.servers.asgi import listening_socket, serve_app
from tests.servers.process import wait_until
from trackfarm_scheduler.db import events as db_events
from trackfarm_scheduler.db.events import JournalEvent
from trackfarm_scheduler.web import build_app

LONG = "x" * 100_000
ReceivedEvent = tuple[str, dict[str, Any]]


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Switch, str]]:
    """As in other modules, but with small send buffers."""
    switch = Switch()
    switch.app = FastAPI()
    with listening_socket() as (listener, url):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        with serve_app(switch, listener):
            yield switch, url


@contextmanager
def listening(
    api: ApiFixture, path: str, *, key: str = API_KEY, after: int | None = None
) -> Iterator[Iterator[ReceivedEvent]]:
    """Open a stream and iterate over its events."""
    headers = {**bearer(key), "Accept": "text/event-stream"}
    if after is not None:
        headers["Last-Event-ID"] = str(after)
    with api.http.stream("GET", f"/api/v1/{path}", headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        yield events(response)


def events(response: httpx.Response) -> Iterator[ReceivedEvent]:
    kind = ""
    for line in response.iter_lines():
        name, _, value = line.partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            yield kind, json.loads(value)


def until(stream: Iterator[ReceivedEvent], kind: str) -> list[ReceivedEvent]:
    """Read all events up to the first of this kind."""
    received = []
    for event in stream:
        received.append(event)
        if event[1].get("kind") == kind:
            return received
    raise AssertionError(f"the stream ended without {kind}")


def finished(farm: FarmFixture, tracks: int = 2, **header: Any) -> str:
    job_id = farm.submit(briefs(tracks), **header).job_id
    worker = farm.join()
    farm.finish(worker, farm.lease(worker, job_id))
    assert farm.complete(job_id) == "done"
    return job_id


def test_stream_of_a_job_has_its_progress_and_all_its_events(api: ApiFixture) -> None:
    farm = api.farm
    job_id = farm.submit(briefs(2, name="calm"), catalog="a").job_id
    twin = farm.submit(briefs(3, name="calm"), catalog="a").job_id  # shares two of its tracks
    worker = farm.join()
    with (
        listening(api, f"jobs/{job_id}/events") as told,
        listening(api, f"jobs/{twin}/events") as other,
    ):
        kind, first = next(told)
        assert (kind, first["state"], first["tracks"]["pending"]) == ("progress", "accepted", 2)
        assert next(other)[1]["tracks"]["pending"] == 3
        farm.finish(worker, farm.lease(worker, job_id))
        farm.complete(job_id)
        heard = until(told, "job_done")
        assert [e["state"] for kind, e in heard if kind == "job"] == ["running", "done"]
        tracks = [e for kind, e in heard if kind == "track"]
        assert [(t["ordinal"], t["name"], t["state"]) for t in tracks] == [
            (1, "calm", "done"),
            (2, "calm", "done"),
        ]
        assert {t["job_id"] for t in tracks} == {job_id}
        last = next(e for kind, e in told if kind == "progress" and e["state"] == "done")
        assert last["tracks"]["done"] == 2
        shared = [next(e for kind, e in other if kind == "track") for _ in tracks]
        assert [(t["job_id"], t["id"]) for t in shared] == [(twin, t["id"]) for t in tracks]


def test_stream_resumes_after_the_last_event_id(api: ApiFixture) -> None:
    """A stream resumes after every event without loss or repeat, in past and new events."""
    job_id = finished(api.farm, 3)
    with listening(api, f"jobs/{job_id}/events", after=0) as told:
        heard = [e["id"] for kind, e in until(told, "job_done") if kind != "progress"]
    assert heard == sorted(set(heard))
    assert len(heard) == 3 + 3
    for place, number in enumerate(heard[:-1]):
        with listening(api, f"jobs/{job_id}/events", after=number) as told:
            again = [e["id"] for kind, e in until(told, "job_done") if kind != "progress"]
        assert again == heard[place + 1 :]
    with listening(api, "events", after=heard[2]) as told:
        until(told, "job_done")
        later = api.farm.submit(briefs(1, word="later"), catalog="later").job_id
        assert until(told, "job_accepted")[-1][1]["job_id"] == later


def test_stream_has_all_jobs_of_its_owner_and_no_others(api: ApiFixture) -> None:
    shop = create_key(api, "shop").secret
    stranger = create_key(api, "stranger").secret
    with (
        listening(api, "events", key=shop) as told,
        listening(api, "events", key=stranger) as not_told,
    ):
        mine = api.farm.begin_submission(owner="shop", catalog="mine")
        api.farm.add_briefs(mine, briefs(1))
        api.farm.seal_submission(mine)
        theirs = api.farm.begin_submission(owner="stranger", catalog="theirs")
        api.farm.add_briefs(theirs, briefs(1))
        api.farm.seal_submission(theirs)
        assert next(told)[1]["job_id"] == mine.job_id
        assert next(not_told)[1]["job_id"] == theirs.job_id
    problem(api.get(f"jobs/{mine.job_id}/events", key=stranger), 404)


def test_streams_of_a_key_are_limited(api: ApiFixture, served: tuple[Any, str]) -> None:
    services = build(api.farm, api.url)
    settings = services.settings.model_copy(update={"most_streams": 2})
    app = build_app(replace(services, settings=settings))
    served[0].app = app
    job_id = api.farm.submit(briefs(1)).job_id
    with listening(api, f"jobs/{job_id}/events") as told, listening(api, "events"):
        next(told)
        refused = api.get("events", key=API_KEY)
        assert refused.status_code == 200, "a list is no stream"
        answer = api.http.get(f"/api/v1/jobs/{job_id}/events", headers=bearer(API_KEY))
        assert problem(answer, 429)
        assert answer.headers["retry-after"]
    wait_until(lambda: not app.state.broadcaster._subscribers, timeout_s=5, what="both have left")
    with listening(api, f"jobs/{job_id}/events") as told:
        next(told)


def test_stream_ends_for_a_client_that_does_not_read_and_can_resume(
    api: ApiFixture, served: tuple[Any, str]
) -> None:
    job_id = api.farm.submit(briefs(1)).job_id
    address = urlsplit(api.url)
    broadcaster = served[0].app.state.broadcaster
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.connect((address.hostname, address.port))
        request = f"GET /api/v1/jobs/{job_id}/events HTTP/1.1\r\nHost: x\r\n"
        client.sendall(f"{request}Authorization: Bearer {API_KEY}\r\n\r\n".encode())
        wait_until(lambda: len(broadcaster._subscribers) == 1, timeout_s=5, what="it listens")
        (slow,) = broadcaster._subscribers
        with listening(api, f"jobs/{job_id}/events") as told:
            for _ in range(20):
                long = JournalEvent(api.farm.clock(), "job_retried", job_id, data={"n": LONG})
                with api.farm.database.write() as session:
                    db_events.record(session, long)
                heard = until(told, "job_retried")[-1][1]["id"]
                if slow.is_over:
                    break
        assert slow.is_over
    wait_until(lambda: not broadcaster._subscribers, timeout_s=5, what="both have left")
    with listening(api, f"jobs/{job_id}/events", after=heard - 1) as told:
        assert until(told, "job_retried")[-1][1]["id"] == heard


def test_events_are_listed_by_kind_time_and_page(api: ApiFixture) -> None:
    finished(api.farm, 3)
    page = api.get("events", kind=["track_done", "job_done"], limit=2)
    assert [e["kind"] for e in page.json()] == ["track_done", "track_done"]
    rest = api.http.get(page.links["next"]["url"], headers=bearer(API_KEY))
    assert [e["kind"] for e in rest.json()] == ["track_done", "job_done"]
    assert api.get("events", since="2100-01-01T00:00:00Z").json() == []
