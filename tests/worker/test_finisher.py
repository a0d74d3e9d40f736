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
from trackfarm_worker.engine.protocol import Finished
from trackfarm_worker.finisher import UPLOAD_TRIES, Finisher

ORIGIN = TrackProvenance("job_0001", "acestep-v15-turbo")


@pytest.fixture(scope="module")
def encoders() -> Iterator[EncoderPool]:
    with EncoderPool(1) as pool:
        yield pool


@pytest.fixture
def store() -> Iterator[ScriptedServer]:
    with scripted_server() as made:
        yield made


@pytest.fixture
def finisher(
    encoders: EncoderPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Finisher]:
    monkeypatch.setattr(
        finisher_module, "wait_random_exponential", lambda **_: wait_none(), raising=True
    )
    made = Finisher(encoders=encoders, spool=tmp_path)
    yield made
    made.close()


def never(_: int) -> TrackOrder | None:
    raise AssertionError("the URL was good")


def finish(
    finisher: Finisher,
    wanted: TrackOrder,
    sound: Finished,
    renew_url: Callable[[int], TrackOrder | None] = never,
    *,
    in_hurry: bool = True,
) -> TrackDone | TrackFailed:
    return finisher.finish(wanted, sound, ORIGIN, renew_url, lambda: in_hurry)


def finished(result: TrackDone | TrackFailed) -> TrackDone:
    assert isinstance(result, TrackDone), result
    return result


def refused(result: TrackDone | TrackFailed) -> TrackFailed:
    assert isinstance(result, TrackFailed), result
    return result


def left_in(spool: Path) -> list[str]:
    return sorted(path.name for path in spool.iterdir())


@pytest.mark.parametrize("kind", ["mp3", "wav", "flac", "opus"])
def test_what_is_reported_is_what_was_stored(
    finisher: Finisher, store: ScriptedServer, tmp_path: Path, kind: str
) -> None:
    wanted = order(7, url=f"{store.url}/", kind=kind)
    made = audio(tmp_path, 7).model_copy(update={"batch_size": 4, "padding": 0.1, "passes": 2.0})
    result = finished(finish(finisher, wanted, made))
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
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("hiccup", [Reply(status) for status in (503, 500, 429, 408, 0)])
def test_a_hiccup_is_tried_again(
    finisher: Finisher, store: ScriptedServer, tmp_path: Path, hiccup: Reply
) -> None:
    store.reply_with(hiccup, hiccup, Reply(body={}))
    wanted = order(1, url=f"{store.url}/")
    finished(finish(finisher, wanted, audio(tmp_path, 1)))
    assert len(store.requests) == 3
    assert len({request.body for request in store.requests if request.body}) == 1, "whole each time"


def test_without_hurry_a_store_that_is_away_is_waited_for(
    finisher: Finisher, store: ScriptedServer, tmp_path: Path
) -> None:
    store.reply_with(*[Reply(503)] * (3 * UPLOAD_TRIES), Reply(body={}))
    wanted = order(1, url=f"{store.url}/")
    finished(finish(finisher, wanted, audio(tmp_path, 1), in_hurry=False))
    assert len(store.requests) == 3 * UPLOAD_TRIES + 1


def test_a_store_that_stays_away_fails_the_upload_and_not_the_track(
    finisher: Finisher, store: ScriptedServer, tmp_path: Path
) -> None:
    store.reply_with(Reply(503))
    wanted = order(1, url=f"{store.url}/")
    result = refused(finish(finisher, wanted, audio(tmp_path, 1)))
    assert result.kind is FailureKind.UPLOAD_FAILED
    assert "503" in result.message
    assert len(store.requests) == UPLOAD_TRIES
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("status", [401, 403, 404])
def test_an_expired_url_is_renewed_once(
    finisher: Finisher, store: ScriptedServer, tmp_path: Path, status: int
) -> None:
    store.reply = lambda request: Reply(200 if request.path == "/fresh/put/1" else status)
    asked_for: list[int] = []

    def renew(track_id: int) -> TrackOrder:
        asked_for.append(track_id)
        return order(1, url=f"{store.url}/fresh/")

    wanted = order(1, url=f"{store.url}/")
    finished(finish(finisher, wanted, audio(tmp_path, 1), renew))
    assert store.paths() == ["/put/1", "/fresh/put/1"]
    assert asked_for == [1]


def test_an_answer_that_was_lost_is_no_failure(
    finisher: Finisher, store: ScriptedServer, tmp_path: Path
) -> None:
    """The object exists, and a write-once URL reports that to the second attempt."""
    store.reply_with(Reply(0), Reply(412))
    finished(finish(finisher, order(1, url=f"{store.url}/"), audio(tmp_path, 1)))
    assert len(store.requests) == 2


def test_a_url_that_cannot_be_renewed_fails_the_upload(
    finisher: Finisher, store: ScriptedServer, tmp_path: Path
) -> None:
    store.reply_with(Reply(403))
    wanted = order(1, url=f"{store.url}/")
    for renewed in (None, wanted):
        answer = dict.fromkeys([1], renewed)
        result = refused(finish(finisher, wanted, audio(tmp_path, 1), answer.get))
        assert result.kind is FailureKind.UPLOAD_FAILED
        assert "403" in result.message
    assert len(store.requests) == 3
    assert left_in(tmp_path) == []


def test_samples_that_no_codec_takes_fail_the_encoder(
    finisher: Finisher, store: ScriptedServer, tmp_path: Path
) -> None:
    broken = audio(tmp_path, 1)
    np.save(broken.path, np.zeros((10, 2, 3), dtype=np.int16), allow_pickle=False)
    result = refused(finish(finisher, order(1, kind="mp3"), broken))
    assert result.kind is FailureKind.ENCODER_FAILED
    assert store.requests == []
    assert left_in(tmp_path) == []


def test_the_seed_of_the_try_that_succeeded_is_reported_and_written(
    finisher: Finisher, store: ScriptedServer, tmp_path: Path
) -> None:
    sound = audio(tmp_path, 1).model_copy(update={"seed": 4_242})
    result = finished(finish(finisher, order(1, url=f"{store.url}/", kind="mp3"), sound))
    assert result.seed == 4_242
    (put,) = store.requests
    assert b"seed\x004242" in put.body
    assert b"job\x00job_0001" in put.body
