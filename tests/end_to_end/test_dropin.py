"""Clients of ACE-Step's API server run unchanged against a farm."""

import hashlib
import io
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import HTTPConnection
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
import soundfile

from tests.end_to_end.acestep_client import AceStepClient
from tests.end_to_end.farm import API_KEY, LocalFarm, running_farm
from tests.servers.process import wait_until
from trackfarm.protocol.operator import TrackState
from trackfarm_scheduler.db.tables import JobRow, TrackRow

CALLS, AT_ONCE = 1_000, 40
ACCEPTED_S = 10.0
RATE = 48_000


@pytest.fixture(scope="module")
def farm(shared_farm: LocalFarm) -> LocalFarm:
    return shared_farm


@pytest.fixture
def client(farm: LocalFarm) -> Iterator[AceStepClient]:
    connection = AceStepClient(farm.url, API_KEY)
    yield connection
    connection.http.close()


def song(seconds: float) -> bytes:
    file = io.BytesIO()
    tone = np.sin(np.linspace(0, 2_000 * seconds, int(RATE * seconds)))
    soundfile.write(file, np.stack([tone, tone], axis=1) * 0.5, RATE, format="FLAC")
    return file.getvalue()


def seconds_of(content: bytes) -> float:
    return float(soundfile.info(io.BytesIO(content)).duration)


def test_json_calls_from_submission_to_download(client: AceStepClient) -> None:
    task_id = client.release_json(
        prompt="upbeat pop song", lyrics="Hello world", inference_steps=2, audioDuration=10
    )
    status, results = client.wait(task_id)
    assert (status, len(results)) == (1, 2)
    seeds = results[0]["seed_value"].split(",")
    assert int(seeds[1]) == (int(seeds[0]) + 1) % 2**32
    files = [client.download(each["file"]) for each in results]
    assert files[0] != files[1]
    for each, content in zip(results, files, strict=True):
        assert (each["prompt"], each["lyrics"]) == ("upbeat pop song", "Hello world")
        assert abs(seconds_of(content) - 10) < 0.1
    assert client.query(json.dumps([task_id]))[0]["status"] == 1
    wait_until(
        lambda: client.get("/v1/stats")["jobs"]["succeeded"] >= 1,
        timeout_s=20,
        what="its job has ended too",
    )
    assert client.get("/v1/stats")["avg_job_seconds"] > 0


def test_form_call_with_nested_metadata_and_a_token_in_the_body(farm: LocalFarm) -> None:
    client = AceStepClient(farm.url, API_KEY, in_header=False)
    task_id = client.release_form(
        caption="slow waltz",
        metas=json.dumps({"bpm": 90, "keyScale": "A minor", "timesignature": "3", "duration": 11}),
        batchSize="1",
        audioFormat="wav",
        inferenceSteps="1",
        useRandomSeed="false",
        seed="12345",
    )
    status, (made,) = client.wait(task_id)
    assert (status, made["seed_value"]) == (1, "12345")
    metas = made["metas"]
    assert (metas["bpm"], metas["keyscale"], metas["timesignature"]) == (90, "A minor", "3")
    wanted = httpx.URL(f"{farm.url}{made['file']}").copy_merge_params({"ai_token": API_KEY})
    assert httpx.get(wanted).content[:4] == b"RIFF"
    client.http.close()


def test_multipart_call_uploads_its_sources(client: AceStepClient) -> None:
    task_id = client.release_files(
        {"src_audio": ("song.flac", song(12.5)), "ref_audio": ("timbre.flac", song(10))},
        prompt="remix this song",
        task_type="repaint",
        inference_steps="1",
        batch_size="1",
    )
    status, (made,) = client.wait(task_id, timeout_s=90)
    assert status == 1, made
    assert abs(seconds_of(client.download(made["file"])) - 12.5) < 0.1
    again = client.release_json(
        prompt="cover of it",
        task_type="cover",
        src_audio_path=made["file"],
        inference_steps=1,
        batch_size=1,
    )
    assert client.wait(again, timeout_s=90)[0] == 1


def test_uploaded_source_that_is_no_audio_fails_with_the_reason(client: AceStepClient) -> None:
    task_id = client.release_files(
        {"ctx_audio": ("song.mp3", b"no music" * 999)},
        prompt="remix",
        task_type="cover",
        audio_duration="10",
        batch_size="1",
    )
    status, (failed,) = client.wait(task_id, timeout_s=90)
    assert status == 2
    assert "src_audio" in failed["error"]


def test_errors_have_a_detail(farm: LocalFarm, client: AceStepClient) -> None:
    wrong = AceStepClient(farm.url, "no-such-key")
    answers = [
        wrong.http.post("/release_task", json={"prompt": "x"}),
        client.http.post("/release_task", json={"prompt": "x", "thinking": True}),
        client.http.post("/release_task", content=b"<x/>", headers={"Content-Type": "text/xml"}),
        client.http.get("/v1/audio", params={"path": "/tmp/api_audio/abc123.mp3"}),
    ]
    wrong.http.close()
    assert [answer.status_code for answer in answers] == [401, 400, 415, 404]
    assert all(answer.json()["detail"] for answer in answers)
    assert "thinking" in answers[1].json()["detail"]


def test_models_health_and_samples_are_served(client: AceStepClient) -> None:
    assert client.get("/health")["status"] == "ok"
    models = client.get("/v1/models")
    assert models["default_model"] == "tiny"
    assert models["models"] == [{"name": "tiny", "is_default": True}]
    body = {"sample_type": "custom_mode"}
    sample = client.http.post("/create_random_sample", json=body).json()["data"]
    assert {"caption", "lyrics", "bpm", "key_scale", "time_signature"} < set(sample)


def test_simple_call_returns_a_hash_and_finds_its_track(farm: LocalFarm) -> None:
    headers = {"Authorization": f"Bearer {API_KEY}"}
    url = f"{farm.url}/api/generate"
    first = httpx.post(url, json={"prompt": "calm", "duration": 10}, headers=headers).json()

    def look() -> dict[str, str]:
        record: dict[str, str] = httpx.get(f"{url}/{first['id']}", headers=headers).json()
        return record

    wait_until(lambda: look()["status"] == "completed", timeout_s=60, what="it is made")
    done = look()
    content = httpx.get(done["audioUrl"]).content
    assert done["audioHash"] == "0x" + hashlib.sha256(content).hexdigest()


def calls_of_one(farm: LocalFarm, number: int) -> list[str]:
    """Make `number` calls over one connection with a light client; return the task ids."""
    address = urlsplit(farm.url)
    connection = HTTPConnection(address.hostname or "", address.port)
    headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json"}
    body = json.dumps({"prompt": "calm", "model": "tiny", "audio_duration": 10})
    task_ids = []
    for _ in range(number):
        connection.request("POST", "/release_task", body, headers)
        task_ids.append(str(json.loads(connection.getresponse().read())["data"]["task_id"]))
    connection.close()
    return task_ids


def places(http: httpx.Client, ids: list[str]) -> list[int]:
    tasks = http.post("/query_result", json={"task_id_list": ids}).json()["data"]
    return sorted(task["queue_position"] for task in tasks)


@pytest.mark.soak
def test_thousand_calls_at_once_are_accepted(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with (
        running_farm(request, tmp_path_factory) as farm,
        ThreadPoolExecutor(AT_ONCE) as people,
        httpx.Client(
            base_url=farm.url, headers={"Authorization": f"Bearer {API_KEY}"}, timeout=60
        ) as http,
    ):
        start = time.monotonic()
        shares = people.map(partial(calls_of_one, farm), [CALLS // AT_ONCE] * AT_ONCE)
        ids = [task_id for share in shares for task_id in share]
        took = time.monotonic() - start
        assert len(set(ids)) == CALLS
        assert {job.id for job in farm.database.rows(JobRow)} == set(ids)
        tracks = farm.database.rows(TrackRow)
        assert [t.state for t in tracks] == [TrackState.PENDING] * 2 * CALLS
        polls = []
        for _ in range(5):
            start = time.monotonic()
            tasks = http.post("/query_result", json={"task_id_list": ids}).json()["data"]
            polls.append(time.monotonic() - start)
        assert [task["task_id"] for task in tasks] == ids
        print(
            f"{CALLS} calls accepted in {took:.1f} s, {1000 * took / CALLS:.1f} ms each;"
            f" polled in {1000 * min(polls):.0f} to {1000 * max(polls):.0f} ms"
        )
        wait_until(
            lambda: places(http, ids) == list(range(1, CALLS + 1)),
            timeout_s=10,
            what="each has a place of its own",
        )
        assert took <= ACCEPTED_S
