"""State of the small farm of these tests: jobs, tracks, files and scripted failures."""

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from fastapi import HTTPException

from trackfarm.catalog import Brief
from trackfarm.protocol.operator import (
    ArtifactInfo,
    EventInfo,
    JobHeader,
    JobInfo,
    JobState,
    TrackCounts,
    TrackInfo,
    TrackState,
    WorkerInfo,
    WorkerState,
)

BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@dataclass
class FarmState:
    """The farm's data and script: jobs by id, tracks by job, contents by object key."""

    jobs: dict[str, JobInfo] = field(default_factory=dict)
    tracks: dict[str, list[TrackInfo]] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    workers: list[WorkerInfo] = field(default_factory=list)
    script: dict[str, list[JobInfo]] = field(default_factory=dict)
    submissions: list[tuple[JobHeader, list[Brief]]] = field(default_factory=list)
    outages: list[int] = field(default_factory=list)
    after_next_job: list[int] = field(default_factory=list)
    bad_briefs: list[dict[str, Any]] = field(default_factory=list)
    downloads: list[str] = field(default_factory=list)
    expired: set[str] = field(default_factory=set)
    uploads: dict[str, bytes] = field(default_factory=dict)
    events: list[EventInfo] = field(default_factory=list)
    broker_ok: bool = True
    url: str = ""
    streams: list[list[str]] = field(default_factory=list)
    resumed_behind: list[str] = field(default_factory=list)
    idempotency_keys: list[str] = field(default_factory=list)

    def add_job(self, job: JobInfo, contents: list[bytes] | None = None) -> JobInfo:
        self.jobs[job.id] = job
        self.tracks[job.id] = [
            self._track(job, n, data) for n, data in enumerate(contents or [], start=1)
        ]
        return job

    def _track(self, job: JobInfo, ordinal: int, data: bytes) -> TrackInfo:
        key = f"tracks/{ordinal:032x}/lease.wav"
        self.objects[key] = data
        artifact = ArtifactInfo(
            object_key=key,
            size=len(data),
            md5=hashlib.md5(data, usedforsecurity=False).hexdigest(),
            sha256=hashlib.sha256(data).hexdigest(),
            seconds=10.0,
            seed=ordinal,
            worker_id="worker_0000",
            committed_at=BEGAN,
            measurements={},
        )
        return TrackInfo(
            id=1000 + ordinal,
            key=f"{ordinal:032x}",
            ordinal=ordinal,
            name=f"lobby {ordinal}",
            title="",
            state=TrackState.DONE,
            prompt="calm [piano]",
            bpm=90,
            key_scale="F major",
            duration=10,
            audio_format="wav",
            tags={"zone": "lobby"},
            attempts=1,
            error="",
            artifact=artifact,
            url=None,
        )

    def published(self, track: TrackInfo) -> TrackInfo:
        """Return the track as the API shows it; keys in `expired` get an expired URL once."""
        if track.artifact is None:
            return track
        key = track.artifact.object_key
        ticket = "late" if key in self.expired else "ok"
        self.expired.discard(key)
        return track.model_copy(update={"url": f"{self.url}/objects/{key}?ticket={ticket}"})

    def find(self, prefix: str) -> JobInfo:
        """Return the job with this id prefix. Raises HTTPException for none and for several."""
        matching = [job for job in self.jobs.values() if job.id.startswith(prefix)]
        if not matching:
            raise HTTPException(404, f"no job begins with {prefix}")
        if len(matching) > 1:
            raise HTTPException(409, f"{len(matching)} jobs begin with {prefix}")
        return matching[0]


def make_job(job_id: str = "job_aaaa0001", **changes: Any) -> JobInfo:
    defaults: dict[str, Any] = {
        "id": job_id,
        "catalog": "hotel",
        "model_set": "tiny",
        "is_noise": True,
        "state": JobState.RUNNING,
        "priority": 0,
        "lane": "batch",
        "deadline": None,
        "budget": None,
        "spent": 0.0,
        "plan": None,
        "reason": "",
        "tracks": TrackCounts(pending=2, done=1),
        "new_tracks": 3,
        "audio_seconds": 90.0,
        "audio_seconds_done": 30.0,
        "created_at": BEGAN,
        "started_at": BEGAN,
        "finished_at": None,
        "tracks_per_hour": 120.0,
        "eta_seconds": 60.0,
        "eligible_workers": 1,
        "notice": "",
    }
    return JobInfo(**(defaults | changes))


def make_ended_job(**changes: Any) -> JobInfo:
    defaults: dict[str, Any] = {
        "state": JobState.DONE,
        "tracks": TrackCounts(done=3),
        "eta_seconds": None,
    }
    return make_job(**(defaults | changes))


def make_worker(name: str) -> WorkerInfo:
    return WorkerInfo(
        id="worker_0001",
        name=name,
        state=WorkerState.READY,
        gpu="cpu",
        memory_mib=0,
        tier="vram4",
        model_set="tiny",
        provider="own",
        queue="gpu.vram4.tiny",
        price_per_hour=0,
        shards=1,
        tracks_done=3,
        tracks_failed=0,
        seconds_since_heartbeat=1.5,
        engine_restarts=0,
        strikes=0,
        speed=1.0,
    )
