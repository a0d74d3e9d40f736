"""Streamed submission: fifteen thousand briefs, and every kind of error in one."""

import json
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from tests.scheduler.api_fixture import API_KEY, ApiFixture, problem
from tests.scheduler.farm_fixture import briefs
from tests.servers.process import wait_until
from trackfarm_scheduler.api import submissions
from trackfarm_scheduler.api.submissions import MAX_ERRORS, MAX_LINE_BYTES
from trackfarm_scheduler.db.tables import JobRow, JobTrackRow, TrackRow
from trackfarm_scheduler.loops.orphan_cleaner import STALE_UPLOAD_SECONDS

HEADER = '{"catalog":"spa","model_set":"tiny"}'
GOOD = '{"prompt":"calm","duration":60}'


def nothing_stored(api: ApiFixture) -> bool:
    return not any(api.farm.count(table) for table in (JobRow, TrackRow, JobTrackRow))


def test_submission_stores_fifteen_thousand_briefs(
    api: ApiFixture, record_property: Callable[[str, object], None]
) -> None:
    def lines() -> Iterator[str]:
        yield '{"catalog":"hotel"}'
        for number in range(15_000):
            yield json.dumps(
                {"prompt": f"soft piano for room {number}, warm, slow", "duration": 120, "bpm": 70}
            )

    began = time.perf_counter()
    answer = api.send_lines(lines())
    record_property("seconds", time.perf_counter() - began)
    assert answer.status_code == 201, answer.text
    job = answer.json()["job"]
    assert (job["new_tracks"], job["tracks"]["pending"]) == (15_000, 15_000)
    assert job["audio_seconds"] == 15_000 * 120
    assert api.farm.count(TrackRow) == api.farm.count(JobTrackRow) == 15_000


def test_submission_memory_does_not_grow_with_the_catalog(api: ApiFixture) -> None:
    """A stream of 24 MB is stored with only a few chunks in memory at a time."""
    filler = "la " * 1_300

    def lines() -> Iterator[str]:
        yield HEADER
        for number in range(6_000):
            yield json.dumps({"prompt": f"{number}", "lyrics": filler, "duration": 60})

    tracemalloc.start()
    try:
        answer = api.send_lines(lines())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.status_code == 201, answer.text
    assert peak < 50 * 2**20


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "empty"),
        (["", "  "], "empty"),
        ([HEADER], "no briefs"),
        ([HEADER, "", "\t"], "no briefs"),
        (["not json", GOOD], "header line"),
        (['{"model_set":"tiny"}', GOOD], "header line"),
        (['{"catalog":"spa","surprise":1}', GOOD], "header line"),
        (['{"catalog":"spa","priority":101}', GOOD], "header line"),
        (['{"catalog":"spa","model_set":"suno"}', GOOD], "unknown model set"),
    ],
)
def test_submission_needs_a_header_and_briefs(
    api: ApiFixture, lines: list[str], words: str
) -> None:
    assert words in problem(api.send_lines(lines), 422)["detail"]
    assert nothing_stored(api)


def test_submission_names_every_mistake_with_its_row(api: ApiFixture) -> None:
    bad = [
        GOOD,
        "{not json",
        '{"prompt":"x"}',
        GOOD,
        '{"prompt":"x","duration":5}',
        '{"prompt":"x","duration":60,"surprise":1}',
        '{"prompt":"x","duration":60,"task_type":"cover","src_audio":"music/y.wav"}',
        '{"prompt":"x","duration":60,"bpm":"fast"}',
    ]
    body = problem(api.send_lines([HEADER, *bad]), 422)
    assert [error["row"] for error in body["errors"]] == [2, 3, 5, 6, 7, 8]
    assert [error["field"] for error in body["errors"]][1:4] == ["duration", "duration", "surprise"]
    assert all(error["message"] for error in body["errors"])
    assert "6 mistakes in 8 briefs" in body["detail"]
    assert nothing_stored(api)


def test_submission_refuses_tasks_that_the_model_set_cannot_do(api: ApiFixture) -> None:
    cover = '{"prompt":"x","duration":60,"task_type":"cover","src_audio":"https://x.org/a.mp3"}'
    header = '{"catalog":"spa","model_set":"demo"}'
    (error,) = problem(api.send_lines([header, cover]), 422)["errors"]
    assert (error["row"], error["field"]) == (1, "task_type")
    assert error["message"].startswith("demo cannot do cover, only repaint, text2music; change")
    assert nothing_stored(api)


def test_submission_lists_a_thousand_mistakes_and_counts_the_rest(api: ApiFixture) -> None:
    body = problem(api.send_lines([HEADER, *["{}"] * 3_000]), 422)
    assert len(body["errors"]) == MAX_ERRORS
    assert body["detail"].startswith("6000 mistakes in 3000 briefs")
    assert nothing_stored(api)


def test_submission_with_a_late_mistake_stores_nothing(api: ApiFixture) -> None:
    wanted = [brief.model_dump_json(exclude_defaults=True) for brief in briefs(4_500)]
    problem(api.send_lines([HEADER, *wanted, "{}"]), 422)
    assert nothing_stored(api)


def test_submission_refuses_an_endless_line(api: ApiFixture) -> None:
    assert "longer" in problem(api.send_lines([HEADER, "x" * (MAX_LINE_BYTES * 2)]), 413)["detail"]
    assert nothing_stored(api)


def test_submission_accepts_any_line_ending(api: ApiFixture) -> None:
    body = f"{HEADER}\r\n{GOOD}\r\n\n{GOOD}".encode()
    answer = api.http.post(
        "/api/v1/jobs", content=body, headers={"Authorization": f"Bearer {API_KEY}"}
    )
    assert answer.status_code == 201, answer.text
    assert answer.json()["job"]["tracks"]["pending"] == 2


def test_submission_of_a_disconnected_client_leaves_nothing(api: ApiFixture) -> None:
    """Two chunks are in the database when the connection closes."""
    host, _, port = api.url.removeprefix("http://").partition(":")
    wanted = [brief.model_dump_json(exclude_defaults=True) for brief in briefs(4_500)]
    body = "\n".join([HEADER, *wanted]).encode()
    head = (
        f"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_KEY}\r\n"
        f"Content-Length: {len(body) + 1000}\r\n\r\n"
    )
    with socket.create_connection((host, int(port))) as client:
        client.sendall(head.encode() + body)
        wait_until(lambda: api.farm.count(TrackRow) == 3_999, timeout_s=30, what="chunks are in")
    wait_until(lambda: nothing_stored(api), timeout_s=30, what="they are gone again")


@pytest.mark.parametrize(
    ("pause", "status", "stored"),
    [(STALE_UPLOAD_SECONDS - 1, 201, 3), (STALE_UPLOAD_SECONDS + 1, 408, 0)],
)
def test_submission_is_stored_in_chunks_and_times_out(
    api: ApiFixture, monkeypatch: pytest.MonkeyPatch, pause: float, status: int, stored: int
) -> None:
    monkeypatch.setattr(submissions, "CHUNK_SECONDS", 0.0)
    farm = api.farm
    orphan_cleaner = farm.orphan_cleaner(margin=0.0)

    def until_stored(number: int) -> None:
        wait_until(lambda: farm.count(TrackRow) == number, timeout_s=10, what="it is stored")

    def lines() -> Iterator[str]:
        yield HEADER
        for number in range(3):
            yield json.dumps({"prompt": f"{number}", "duration": 60})
            if stored or number == 0:
                until_stored(number + 1)
            farm.clock.advance(pause)
            orphan_cleaner.tick()

    assert api.send_lines(lines()).status_code == status
    assert farm.count(TrackRow) == stored


def test_submission_of_one_catalog_twice_at_once_is_one_job(api: ApiFixture) -> None:
    wanted = briefs(3_000)
    answers: list[dict[str, object]] = []

    def submit() -> None:
        answer = api.submit(wanted)
        assert answer.status_code in (200, 201), answer.text
        answers.append(answer.json())

    threads = [threading.Thread(target=submit) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    jobs = {answer["job"]["id"] for answer in answers}  # type: ignore[index]
    assert len(answers) == 2
    assert len(jobs) == 1
    assert sorted(bool(a["already_submitted"]) for a in answers) == [False, True]
    assert api.farm.count(TrackRow) == api.farm.count(JobTrackRow) == 3_000
