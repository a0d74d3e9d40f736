"""Validation of messages from untrusted workers, and compatibility of older workers."""

import json
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from trackfarm.protocol.worker import (
    BatchShare,
    ClaimAnswer,
    ClaimRequest,
    FailureKind,
    HeartbeatAnswer,
    HeartbeatRequest,
    Intervals,
    LeaveRequest,
    Measurements,
    RegisterRequest,
    ReleaseRequest,
    ReportRequest,
    ShardProgress,
    Stage,
    Timings,
    TrackDone,
    TrackFailed,
)

LEASE = "lease_0000abcd"
MEASUREMENTS = {
    "seconds": 60.0,
    "sample_rate": 48_000,
    "channels": 2,
    "peak_dbfs": -1.0,
    "rms_dbfs": -18.0,
    "clipped": 0.0,
    "dc": 0.0,
}
DONE: dict[str, Any] = {
    "track_id": 1,
    "object_key": "tracks/ab/x.mp3",
    "size": 10,
    "md5": "0" * 32,
    "sha256": "0" * 64,
    "seed": 2**32 - 1,
    "measurements": MEASUREMENTS,
    "timings": {},
}
REGISTER = {"name": "gpu-1", "gpu": "NVIDIA H200", "memory_mib": 143_771, "model_set": "tiny"}
REQUESTS: list[tuple[type[BaseModel], dict[str, Any]]] = [
    (RegisterRequest, REGISTER),
    (ClaimRequest, {"lease_id": LEASE}),
    (HeartbeatRequest, {}),
    (ShardProgress, {"shard_id": "shard_0000", "lease_id": LEASE, "stage": "computing"}),
    (TrackDone, DONE),
    (TrackFailed, {"track_id": 1, "kind": "silent", "message": "nothing"}),
    (ReportRequest, {"lease_id": LEASE, "done": [DONE]}),
    (ReleaseRequest, {"lease_id": LEASE, "track_ids": [1], "reason": "draining"}),
    (LeaveRequest, {}),
    (Measurements, MEASUREMENTS),
    (Timings, {}),
    (BatchShare, {}),
]


@pytest.mark.parametrize(("kind", "body"), REQUESTS, ids=lambda x: getattr(x, "__name__", ""))
def test_requests_round_trip_and_refuse_unknown_fields(
    kind: type[BaseModel], body: dict[str, Any]
) -> None:
    message = kind.model_validate_json(json.dumps(body))
    assert kind.model_validate_json(message.model_dump_json()) == message
    with pytest.raises(ValidationError, match="extra_forbidden"):
        kind.model_validate(body | {"surprise": 1})


@pytest.mark.parametrize(
    "change",
    [
        {"size": 0},
        {"size": 4_000_000_001},
        {"md5": "0" * 31},
        {"md5": "G" * 32},
        {"md5": "0" * 32 + "\n"},
        {"sha256": "0" * 63},
        {"seed": -1},
        {"seed": 2**63},
        {"object_key": "k" * 301},
        {"measurements": MEASUREMENTS | {"seconds": -1}},
        {"measurements": MEASUREMENTS | {"clipped": 1.5}},
        {"measurements": MEASUREMENTS | {"peak_dbfs": float("nan")}},
        {"measurements": MEASUREMENTS | {"lufs": 61}},
        {"measurements": MEASUREMENTS | {"lufs": float("-inf")}},
        {"timings": {"denoise": -1}},
        {"timings": {"denoise": float("inf")}},
        {"batch": {"padding": 1}},
        {"batch": {"tracks": -1}},
    ],
    ids=str,
)
def test_results_out_of_bounds_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TrackDone.model_validate(DONE | change)


@pytest.mark.parametrize(
    "lease",
    ["", "lease", "lease_", "Lease_0000", "lease_00 0", "lease_" + "0" * 41, "lease_0000\n"],
)
def test_ids_have_one_form(lease: str) -> None:
    with pytest.raises(ValidationError):
        ClaimRequest(lease_id=lease)


def test_lists_are_bounded() -> None:
    with pytest.raises(ValidationError):
        ReleaseRequest.model_validate(
            {"lease_id": LEASE, "track_ids": [1] * 10_001, "reason": "draining"}
        )
    progress = ShardProgress(shard_id="shard_0000", lease_id=LEASE, stage=Stage.WAITING)
    with pytest.raises(ValidationError):
        HeartbeatRequest(shards=[progress] * 17)
    with pytest.raises(ValidationError):
        TrackFailed(track_id=1, kind=FailureKind.SILENT, message="x" * 4001)


def test_answers_ignore_fields_of_a_newer_scheduler() -> None:
    answer = HeartbeatAnswer.model_validate_json(
        '{"leases":{},"commands":[],"intervals":{"heartbeat":5,"lost_after":12,"new":1},"new":[]}'
    )
    assert answer.intervals == Intervals(heartbeat=5, lost_after=12)
    body = {"shard_id": "s", "lease_id": "l", "job_id": "j", "lease_seconds": 1, "tracks": []}
    assert ClaimAnswer.model_validate(body | {"new": 1}).tracks == []


def test_timings_sum_the_seconds_of_the_gpu() -> None:
    timings = Timings(fetch=1, condition=2, compose=4, denoise=8, decode=16, encode=32, upload=64)
    assert timings.device == 30


@pytest.mark.parametrize("lufs", [None, -14.2, -70])
def test_measurements_may_have_no_loudness(lufs: float | None) -> None:
    report = TrackDone.model_validate(DONE | {"measurements": MEASUREMENTS | {"lufs": lufs}})
    assert report.measurements.lufs == lufs
    assert TrackDone.model_validate(DONE).measurements.lufs is None


def test_batch_shares_add_up_to_the_batch() -> None:
    lengths = [10.0, 20.0, 30.0]
    share = BatchShare(tracks=3, padding=1 - 60 / 90, passes=8 / 3)
    assert sum(share.batches for _ in lengths) == pytest.approx(1)
    assert sum(share.padded(seconds) for seconds in lengths) == pytest.approx(20 + 10)
    assert BatchShare().batches == BatchShare().padded(10) == 0
