"""Encoding, digests and upload, with a real encoder pool and a small real store."""

import base64
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tenacity import wait_none

from tests.servers.scripted_http import Reply, ScriptedServer, scripted_server
from tests.worker.shards import audio, order
from trackfarm.protocol.worker import BatchShare, FailureKind, TrackDone, TrackFailed, TrackOrder
from trackfarm_worker import finisher as finisher_module
from trackfarm_worker.audio_tags import TrackProvenance
from trackfarm_worker.encoder_pool import EncoderPool
from trackfarm_worker.engine.protocol import FinishedTrack
from trackfarm_worker.finisher import UPLOAD_TRIES, Finisher

PROVENANCE = TrackProvenance("job_0001", "acestep-v15-turbo")


@pytest.fixture
def store() -> Iterator[ScriptedServer]:
    with scripted_server() as server:
        yield server


@pytest.fixture
def finisher(
    encoders: EncoderPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Finisher]:
    monkeypatch.setattr(
        finisher_module, "wait_random_exponential", lambda **_: wait_none(), raising=True
    )
    instance = Finisher(encoders=encoders, spool=tmp_path)
    yield instance
    instance.close()


def never(_: int) -> TrackOrder | None:
    raise AssertionError("the URL was good")


def finish(
    finisher: Finisher,
    track: TrackOrder,
    audio_file: FinishedTrack,
    renew_url: Callable[[int], TrackOrder | None] = never,
    *,
    is_stopping: bool = True,
) -> TrackDone | TrackFailed:
    return finisher.finish(track, audio_file, PROVENANCE, renew_url, lambda: is_stopping)


def finished(result: TrackDone | TrackFailed) -> TrackDone:
    assert isinstance(result, TrackDone), result
    return result


def failed(result: TrackDone | TrackFailed) -> TrackFailed:
    assert isinstance(result, TrackFailed), result
    return result


def files_in(spool: Path) -> list[str]:
    return sorted(path.name for path in spool.iterdir())


@pytest.mark.parametrize("kind", ["mp3", "wav", "flac", "opus"])
def test_finish_reports_the_stored_file(
    finisher: Finisher, store: ScriptedServer, tmp_path: Path, kind: str
) -> None:
    track = order(7, url=f"{store.url}/", kind=kind)
    finished_track = audio(tmp_path, 7).model_copy(
        update={"batch_size": 4, "padding": 0.1, "passes": 2.0}
    )
    result = finished(finish(finisher, track, finished_track))
    (put,) = store.requests
    headers = put.headers
    assert (put.method, put.path, headers["x-kept"]) == ("PUT", "/put/7", "1")
    assert result.size == len(put.body) == int(headers["content-length"])
    assert result.sha256 == hashlib.sha256(put.body).hexdigest()
    md5 = hashlib.md5(put.body, usedforsecurity=False).digest()
    assert result.md5 == md5.hex()
    assert headers["content-md5"] == base64.b64encode(md5).decode()
    assert (result.object_key, result.seed) == ("tracks/7", 7)
    assert result.measurements.seconds == pytest.approx(0.1)
    assert result.measurements.lufs == -16.5
    assert (result.timings.denoise, result.timings.service) == (2, 4)
    assert result.batch == BatchShare(tracks=4, padding=0.1, passes=2.0)
    assert result.timings.encode > 0
    assert result.timings.upload > 0
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("failure", [Reply(status) for status in (503, 500, 429, 408, 0)])
def test_finish_retries_temporary_failures(
    finisher: Finisher, store: ScriptedServer, tmp_path: Path, failure: Reply
) -> None:
    store.reply_with(failure, failure, Reply(body={}))
    track = order(1, url=f"{store.url}/")
    finished(finish(finisher, track, audio(tmp_path, 1)))
    assert len(store.requests) == 3
    assert len({request.body for request in store.requests if request.body}) == 1, "whole each time"


def test_finish_waits_for_an_unreachable_store_unless_stopping(
    finisher: Finisher, store: ScriptedServer, tmp_path: Path
) -> None:
    store.reply_with(*[Reply(503)] * (3 * UPLOAD_TRIES), Reply(body={}))
    track = order(1, url=f"{store.url}/")
    finished(finish(finisher, track, audio(tmp_path, 1), is_stopping=False))
    assert len(store.requests) == 3 * UPLOAD_TRIES + 1


def test_finish_fails_the_upload_when_the_store_stays_unreachable(
    finisher: Finisher, store: ScriptedServer, tmp_path: Path
) -> None:
    store.reply_with(Reply(503))
    track = order(1, url=f"{store.url}/")
    result = failed(finish(finisher, track, audio(tmp_path, 1)))
    assert result.kind is FailureKind.UPLOAD_FAILED
    assert "503" in result.message
    assert len(store.requests) == UPLOAD_TRIES
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("status", [401, 403, 404])
def test_finish_renews_an_expired_url_once(
    finisher: Finisher, store: ScriptedServer, tmp_path: Path, status: int
) -> None:
    store.reply = lambda request: Reply(200 if request.path == "/fresh/put/1" else status)
    renewed_ids: list[int] = []

    def renew(track_id: int) -> TrackOrder:
        renewed_ids.append(track_id)
        return order(1, url=f"{store.url}/fresh/")

    track = order(1, url=f"{store.url}/")
    finished(finish(finisher, track, audio(tmp_path, 1), renew))
    assert store.paths() == ["/put/1", "/fresh/put/1"]
    assert renewed_ids == [1]


def test_finish_accepts_an_object_that_exists_already(
    finisher: Finisher, store: ScriptedServer, tmp_path: Path
) -> None:
    """The object exists, and a write-once URL reports that to the second attempt."""
    store.reply_with(Reply(0), Reply(412))
    finished(finish(finisher, order(1, url=f"{store.url}/"), audio(tmp_path, 1)))
    assert len(store.requests) == 2


def test_finish_fails_the_upload_when_its_url_cannot_be_renewed(
    finisher: Finisher, store: ScriptedServer, tmp_path: Path
) -> None:
    store.reply_with(Reply(403))
    track = order(1, url=f"{store.url}/")
    for renewed in (None, track):
        answer = dict.fromkeys([1], renewed)
        result = failed(finish(finisher, track, audio(tmp_path, 1), answer.get))
        assert result.kind is FailureKind.UPLOAD_FAILED
        assert "403" in result.message
    assert len(store.requests) == 3
    assert files_in(tmp_path) == []


def test_finish_fails_the_encoder_for_invalid_samples(
    finisher: Finisher, store: ScriptedServer, tmp_path: Path
) -> None:
    broken = audio(tmp_path, 1)
    np.save(broken.path, np.zeros((10, 2, 3), dtype=np.int16), allow_pickle=False)
    result = failed(finish(finisher, order(1, kind="mp3"), broken))
    assert result.kind is FailureKind.ENCODER_FAILED
    assert store.requests == []
    assert files_in(tmp_path) == []


def test_finish_reports_and_writes_the_seed_of_the_successful_try(
    finisher: Finisher, store: ScriptedServer, tmp_path: Path
) -> None:
    audio_file = audio(tmp_path, 1).model_copy(update={"seed": 4_242})
    result = finished(finish(finisher, order(1, url=f"{store.url}/", kind="mp3"), audio_file))
    assert result.seed == 4_242
    (put,) = store.requests
    assert b"seed\x004242" in put.body
    assert b"job\x00job_0001" in put.body
