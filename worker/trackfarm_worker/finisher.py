"""Finishing of a track while the GPU works on the next ones: encode, compute digests, upload."""

import ssl
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import structlog
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential

from trackfarm.protocol.worker import (
    BatchShare,
    FailureKind,
    Measurements,
    Timings,
    TrackDone,
    TrackFailed,
    TrackOrder,
)
from trackfarm_worker.audio_tags import TrackProvenance, track_tags
from trackfarm_worker.encoder_pool import EncodedFile, EncoderPool
from trackfarm_worker.engine.protocol import FinishedTrack

log = structlog.get_logger(__name__)
UPLOAD_TRIES = 5  # attempts of a worker that is stopping
UPLOAD_RETRY_SECONDS = 120.0  # finished audio survives a restart of the object store
RETRYABLE_STATUSES = frozenset(
    {400, 408, 429}
)  # S3 responds 400 to a body that was cut off in transit
ALREADY_EXISTS = 412  # the object exists: an upload URL writes once
UPLOAD_TIMEOUT = httpx.Timeout(120.0, connect=10.0)


class UploadRefused(Exception):
    """The object store rejects the upload: the URL has expired, or another client error."""


class UploadFailed(Exception):
    """The object store is unreachable or failed; a retry may succeed."""


class Finisher:
    """Encoder and uploader of finished audio; thread-safe."""

    def __init__(
        self, *, encoders: EncoderPool, spool: Path, verify: ssl.SSLContext | bool = True
    ) -> None:
        self._encoders = encoders
        self._spool = spool
        self._http = httpx.Client(timeout=UPLOAD_TIMEOUT, verify=verify)

    def close(self) -> None:
        self._http.close()

    def finish(
        self,
        order: TrackOrder,
        audio: FinishedTrack,
        provenance: TrackProvenance,
        renew_url: Callable[[int], TrackOrder | None],
        is_stopping: Callable[[], bool],
    ) -> TrackDone | TrackFailed:
        """Return the result to report; leave no file behind. An unreachable store is retried for
        `UPLOAD_RETRY_SECONDS` seconds, or UPLOAD_TRIES times when `is_stopping` returns True. `renew_url`
        fetches a fresh upload URL after the first has expired."""
        out = self._spool / f"{audio.path.stem}.{order.brief.audio_format}"
        try:
            encoded = self._encoders.encode(
                audio.path,
                out,
                order.brief.audio_format,
                sample_rate=audio.sample_rate,
                tags=track_tags(order.brief, audio.seed, provenance),
            )
            if not isinstance(encoded, EncodedFile):
                return _failed(order, FailureKind.ENCODER_FAILED, encoded.message)
            started = time.monotonic()
            self._upload(order, encoded, renew_url, is_stopping)
            return _done(order, audio, encoded, time.monotonic() - started)
        except (UploadFailed, UploadRefused) as error:
            return _failed(order, FailureKind.UPLOAD_FAILED, str(error))
        except OSError as error:
            return _failed(order, FailureKind.DISK_FULL, str(error))
        finally:
            audio.path.unlink(missing_ok=True)
            out.unlink(missing_ok=True)

    def _upload(
        self,
        order: TrackOrder,
        encoded: EncodedFile,
        renew_url: Callable[[int], TrackOrder | None],
        is_stopping: Callable[[], bool],
    ) -> None:
        try:
            self._put_with_retries(order, encoded, is_stopping)
        except UploadRefused:
            renewed_order = renew_url(order.track_id)
            if renewed_order is None:
                raise
            self._put_with_retries(renewed_order, encoded, is_stopping)

    def _put_with_retries(
        self, order: TrackOrder, encoded: EncodedFile, is_stopping: Callable[[], bool]
    ) -> None:
        def should_stop(state: RetryCallState) -> bool:
            if is_stopping():
                return state.attempt_number >= UPLOAD_TRIES
            return (state.seconds_since_start or 0) >= UPLOAD_RETRY_SECONDS

        retrying = Retrying(
            retry=retry_if_exception_type(UploadFailed),
            stop=should_stop,
            wait=wait_random_exponential(multiplier=0.3, max=3),
            reraise=True,
        )
        retrying(self._put, order, encoded)

    def _put(self, order: TrackOrder, encoded: EncodedFile) -> None:
        headers = {
            **order.upload_headers,
            "Content-Length": str(encoded.size),
            "Content-MD5": encoded.content_md5,
        }
        try:
            with encoded.path.open("rb") as file:
                response = self._http.put(order.upload_url, content=file, headers=headers)
        except httpx.RequestError as error:
            raise UploadFailed(f"the upload failed: {type(error).__name__}") from error
        if response.status_code == ALREADY_EXISTS:
            return  # only we write this key: an earlier PUT succeeded, its response was lost
        if response.is_client_error and response.status_code not in RETRYABLE_STATUSES:
            raise UploadRefused(
                f"the object store rejected the upload (HTTP {response.status_code})"
            )
        if not response.is_success:
            raise UploadFailed(
                f"the upload failed: the object store returned HTTP {response.status_code}"
            )


def _done(
    order: TrackOrder, audio: FinishedTrack, encoded: EncodedFile, upload_seconds: float
) -> TrackDone:
    measures = audio.measures
    return TrackDone(
        track_id=order.track_id,
        object_key=order.object_key,
        size=encoded.size,
        md5=encoded.md5,
        sha256=encoded.sha256,
        seed=audio.seed,
        measurements=Measurements(
            seconds=audio.frames / audio.sample_rate,
            sample_rate=audio.sample_rate,
            channels=audio.channels,
            peak_dbfs=measures.peak_dbfs,
            rms_dbfs=measures.rms_dbfs,
            clipped=measures.clipped,
            dc=measures.dc,
            lufs=measures.lufs,
        ),
        timings=Timings(
            service=audio.timings.service,
            condition=audio.timings.condition,
            denoise=audio.timings.denoise,
            decode=audio.timings.decode,
            encode=encoded.seconds,
            upload=upload_seconds,
        ),
        batch=BatchShare(tracks=audio.batch_size, padding=audio.padding, passes=audio.passes),
    )


def _failed(order: TrackOrder, kind: FailureKind, message: str) -> TrackFailed:
    return TrackFailed(track_id=order.track_id, kind=kind, message=message[:4000])
