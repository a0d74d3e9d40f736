"""Shards, orders and results in the worker protocol."""

from pathlib import Path

import numpy as np

from trackfarm.catalog import Brief
from trackfarm.protocol.worker import (
    ClaimAnswer,
    FailureKind,
    Measurements,
    ReportAnswer,
    ReportVerdict,
    Timings,
    TrackDone,
    TrackFailed,
    TrackOrder,
    TrackVerdict,
)
from trackfarm_worker.engine.protocol import FinishedTrack, Measures, StageSeconds

SHARD, LEASE = "shard_0001", "lease_0001"
MEASURES = Measures(
    is_finite=True,
    is_silent=False,
    raw_peak_dbfs=-3,
    peak_dbfs=-1,
    rms_dbfs=-18,
    clipped=0,
    dc=0,
    lufs=-16.5,
)


def order(track_id: int, *, url: str = "http://127.0.0.1:1/", kind: str = "wav") -> TrackOrder:
    brief = Brief.model_validate({"prompt": f"p{track_id}", "duration": 10, "audio_format": kind})
    return TrackOrder(
        track_id=track_id,
        key=f"{track_id:032x}",
        seed=track_id,
        brief=brief,
        object_key=f"tracks/{track_id}",
        upload_url=f"{url}put/{track_id}",
        upload_headers={"x-kept": "1"},
    )


def claim(
    *ids: int, lease: str = LEASE, shard: str = SHARD, url: str = "http://127.0.0.1:1/"
) -> ClaimAnswer:
    return ClaimAnswer(
        shard_id=shard,
        lease_id=lease,
        job_id="job_0001",
        model_set="acestep-v15-turbo",
        lease_seconds=12,
        tracks=[order(i, url=url) for i in ids],
    )


def done(track_id: int) -> TrackDone:
    return TrackDone(
        track_id=track_id,
        object_key=f"tracks/{track_id}",
        size=5,
        md5="0" * 32,
        sha256="0" * 64,
        seed=1,
        measurements=Measurements(
            seconds=10, sample_rate=48_000, channels=2, peak_dbfs=-1, rms_dbfs=-18, clipped=0, dc=0
        ),
        timings=Timings(),
    )


def failed(track_id: int) -> TrackFailed:
    return TrackFailed(track_id=track_id, kind=FailureKind.SILENT, message="nothing")


def verdicts(*ids: int, verdict: ReportVerdict = ReportVerdict.COMMITTED) -> bytes:
    answer = ReportAnswer(tracks=[TrackVerdict(track_id=i, verdict=verdict) for i in ids])
    return answer.model_dump_json().encode()


def audio(spool: Path, track_id: int, *, frames: int = 4_800) -> FinishedTrack:
    """Write a spooled tone, like the engine."""
    tone = np.sin(np.arange(frames) / 20)[:, None] * np.array([20_000, -20_000])
    path = spool / f"{track_id}.npy"
    np.save(path, tone.astype(np.int16), allow_pickle=False)
    return FinishedTrack(
        track_id=track_id,
        path=path,
        sample_rate=48_000,
        channels=2,
        frames=frames,
        measures=MEASURES,
        timings=StageSeconds(condition=0.5, denoise=2, decode=1, service=4),
        seed=track_id,
    )
