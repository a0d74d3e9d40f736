"""Invariants that hold for every job, regardless of failures on the way."""

import hashlib
import io

import httpx
import numpy as np
import pytest
import soundfile
from prometheus_client.parser import text_string_to_metric_families
from sqlmodel import col

from tests.end_to_end.farm import API_KEY, LocalFarm
from tests.servers.process import wait_until
from trackfarm.protocol.operator import JobState, TrackInfo, TrackState
from trackfarm_scheduler.db.tables import ArtifactRow, AttemptRow, LeaseRow
from trackfarm_scheduler.policy.states import AttemptState, LeaseState

MP3_SLACK_S = 0.06  # padding by the encoder
RATE, CHANNELS = 48_000, 2


def wait_until_done(farm: LocalFarm, job_id: str, *, timeout_s: float = 60) -> None:
    """Wait for the job to end; assert that all its tracks are done."""
    wait_until(
        lambda: farm.client.job(job_id).state.ended, timeout_s=timeout_s, what=f"{job_id} ends"
    )
    job = farm.client.job(job_id)
    assert (job.state, job.tracks.done) == (JobState.DONE, job.tracks.total), job.reason


def assert_made_exactly_once(farm: LocalFarm, job_id: str) -> None:
    """Assert one commit per track, and no stored object that was not committed."""
    tracks, artifacts = farm.database.tracks(job_id), farm.database.artifacts(job_id)
    assert {track.state for track in tracks} == {TrackState.DONE}
    assert sorted(a.track_id for a in artifacts) == sorted({t.id for t in tracks if t.id})
    attempts = farm.database.attempts_at({a.track_id for a in artifacts})
    commits = sorted((a.track_id, a.lease_id) for a in attempts if a.state == AttemptState.DONE)
    assert commits == sorted((a.track_id, a.lease_id) for a in artifacts)
    assert {a.state for a in attempts} <= set(AttemptState) - {AttemptState.OPEN}
    assert not farm.database.rows(
        LeaseRow, col(LeaseRow.job_id) == job_id, col(LeaseRow.state) == LeaseState.LIVE
    )
    assert_only_artifacts_are_stored(farm)


def assert_only_artifacts_are_stored(farm: LocalFarm) -> None:
    """Wait until the orphan cleaner has left only the artifacts, with their sizes."""
    committed = {a.object_key: a.size for a in farm.database.rows(ArtifactRow)}
    wait_until(
        lambda: farm.stored() == committed,
        timeout_s=20,
        what="the store holds the artifacts and nothing else",
    )


def assert_computed_once(farm: LocalFarm, job_id: str) -> None:
    """Assert that no worker began a track that another attempt made, except in a speculative copy.

    Offers may be lost, work must not.
    """
    ids = {track.id for track in farm.database.tracks(job_id) if track.id is not None}
    attempts, races = farm.database.attempts_at(ids), farm.database.speculative_lease_ids()
    raced = {a.track_id for a in attempts if a.lease_id in races}
    lost = [a for a in attempts if a.worker_id and a.state != AttemptState.DONE]
    wasted = [a for a in lost if not (a.kind == "overtaken" and a.track_id in raced)]
    assert not wasted, [(a.track_id, a.state, a.kind, a.message) for a in wasted]


def assert_counters_match(farm: LocalFarm) -> None:
    """Assert that counters, rows and objects agree on the tracks made."""
    assert_only_artifacts_are_stored(farm)
    artifacts, metrics = farm.database.rows(ArtifactRow), metric_sums(farm)
    assert metrics["trackfarm_tracks_total", "done"] == len(artifacts) == len(farm.stored())
    assert metrics["trackfarm_tracks_present", TrackState.DONE] == len(artifacts)
    assert metrics["trackfarm_object_bytes_total", ""] == sum(farm.stored().values())
    assert metrics["trackfarm_audio_seconds_total", ""] == pytest.approx(
        sum(artifact.seconds for artifact in artifacts)
    )


def metric_sums(farm: LocalFarm) -> dict[tuple[str, str], float]:
    """Return the sums of all samples of /metrics by name and by outcome or state label."""
    sums: dict[tuple[str, str], float] = {}
    with_key = {"Authorization": f"Bearer {API_KEY}"}
    text = httpx.get(f"{farm.url}/metrics", headers=with_key).raise_for_status().text
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = sample.labels
            key = sample.name, labels.get("outcome") or labels.get("state") or ""
            sums[key] = sums.get(key, 0) + sample.value
    return sums


def assert_audio_matches(track: TrackInfo) -> None:
    """Assert that the file at the track's URL matches the brief and the recorded artifact."""
    assert track.url
    assert track.artifact
    body = httpx.get(track.url, timeout=30).raise_for_status().content
    assert len(body) == track.artifact.size
    assert hashlib.sha256(body).hexdigest() == track.artifact.sha256
    samples, rate = soundfile.read(io.BytesIO(body), always_2d=True)
    assert (rate, samples.shape[1]) == (RATE, CHANNELS)
    slack = MP3_SLACK_S if track.audio_format == "mp3" else 0
    assert abs(len(samples) - round(track.duration * RATE)) <= slack * RATE
    assert np.isfinite(samples).all()
    assert samples.any(axis=0).all()


def attempts_in_state(farm: LocalFarm, job_id: str, state: AttemptState) -> list[AttemptRow]:
    ids = {track.id for track in farm.database.tracks(job_id) if track.id is not None}
    return [attempt for attempt in farm.database.attempts_at(ids) if attempt.state == state]
