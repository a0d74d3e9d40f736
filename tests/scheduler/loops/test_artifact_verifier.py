"""Artifact verifier: in a store that allows replacing, each object is checked again after its URL
expired."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from sqlmodel import Session

from tests.scheduler.farm_fixture import URL_SECONDS, FarmFixture, briefs
from trackfarm.protocol.operator import TrackState
from trackfarm_scheduler.db import jobs
from trackfarm_scheduler.db.artifacts import CommittedArtifact
from trackfarm_scheduler.db.tables import ArtifactRow, JobRow, WorkerRow
from trackfarm_scheduler.loops.artifact_verifier import ArtifactVerifier, is_changed
from trackfarm_scheduler.objects.base import ObjectStat

MARGIN = 60.0


@pytest.fixture
def artifact_verifier(farm: FarmFixture) -> ArtifactVerifier:
    farm.objects.writes_once = False
    return ArtifactVerifier(
        database=farm.database,
        objects=farm.objects,
        leadership=farm.leadership,
        clock=farm.clock,
        margin=MARGIN,
    )


@pytest.fixture
def worker(farm: FarmFixture) -> WorkerRow:
    return farm.join()


@pytest.fixture
def job_id(farm: FarmFixture, worker: WorkerRow) -> str:
    new_job_id = farm.submit(briefs(3)).job_id
    farm.finish(worker, farm.lease(worker, new_job_id))
    assert farm.complete(new_job_id) == "done"
    return new_job_id


def swap(farm: FarmFixture, track_id: int) -> str:
    """Replace an object as the holder of an upload URL could; the size stays."""
    key = next(a.object_key for a in farm.artifacts() if a.track_id == track_id)
    farm.objects.content[key] = farm.objects.content[key][::-1]
    return key


def test_verifier_voids_a_changed_object_and_its_track_is_made_again(
    farm: FarmFixture, artifact_verifier: ArtifactVerifier, worker: WorkerRow, job_id: str
) -> None:
    swapped = farm.track_ids(job_id)[1]
    key = swap(farm, swapped)
    farm.clock.advance(URL_SECONDS + MARGIN)
    artifact_verifier.tick()
    assert farm.states(job_id) == {"done": 3}, "the URL may still be used"
    farm.clock.advance(1)
    artifact_verifier.tick()
    assert farm.states(job_id) == {"done": 2, "pending": 1}
    assert farm.job(job_id).state == "running"
    assert farm.worker(worker.id).strikes == 1
    assert key not in farm.objects.content
    farm.finish(worker, farm.lease(worker, job_id))
    assert farm.complete(job_id) == "done"


def test_verifier_checks_an_object_once(
    farm: FarmFixture, artifact_verifier: ArtifactVerifier, job_id: str
) -> None:
    farm.clock.advance(URL_SECONDS + MARGIN + 1)
    artifact_verifier.tick()
    assert all(a.verified_at == farm.clock() for a in farm.rows(ArtifactRow))
    swap(farm, farm.track_ids(job_id)[0])
    artifact_verifier.tick()
    assert farm.states(job_id) == {"done": 3}


def test_verifier_fails_the_track_of_a_cancelled_job(
    farm: FarmFixture, artifact_verifier: ArtifactVerifier, worker: WorkerRow
) -> None:
    job_id = farm.submit(briefs(2)).job_id
    first, _ = farm.track_ids(job_id)
    offer = farm.lease(worker, job_id, [first])
    farm.finish(worker, offer)
    farm.change(job_id, jobs.cancel)
    swap(farm, first)
    farm.clock.advance(URL_SECONDS + MARGIN + 1)
    artifact_verifier.tick()
    assert farm.states(job_id) == {"failed": 1, "cancelled": 1}
    assert "changed after the commit" in farm.track(first).error


@pytest.mark.parametrize("act", [jobs.pause, jobs.cancel, jobs.mark_out_of_budget])
def test_verifier_gives_the_track_to_an_active_job(
    farm: FarmFixture,
    artifact_verifier: ArtifactVerifier,
    worker: WorkerRow,
    act: Callable[[Session, JobRow, float], None],
) -> None:
    stopped = farm.submit(briefs(2)).job_id
    going = farm.submit(briefs(3)[1:]).job_id
    shared = farm.track_ids(going)[0]
    farm.finish(worker, farm.lease(worker, stopped, [shared]))
    farm.change(stopped, act)
    swap(farm, shared)
    farm.clock.advance(URL_SECONDS + MARGIN + 1)
    artifact_verifier.tick()
    assert shared in farm.owned_tracks(going, TrackState.PENDING)
    farm.finish(farm.join(), farm.lease(farm.join("new"), going))


def test_verifier_trusts_a_store_that_writes_once(
    farm: FarmFixture, artifact_verifier: ArtifactVerifier, job_id: str
) -> None:
    swap(farm, farm.track_ids(job_id)[0])
    farm.objects.writes_once = True
    farm.clock.advance(URL_SECONDS + MARGIN + 1)
    artifact_verifier.tick()
    assert farm.states(job_id) == {"done": 3}


def test_verifier_does_not_reopen_a_removed_job(
    farm: FarmFixture, artifact_verifier: ArtifactVerifier, job_id: str
) -> None:
    swap(farm, farm.track_ids(job_id)[0])
    farm.change(job_id, jobs.remove)
    farm.clock.advance(URL_SECONDS + MARGIN + 1)
    artifact_verifier.tick()
    assert farm.job(job_id).state == "done"


@pytest.mark.parametrize(
    ("etag", "found", "changed"),
    [
        ("e1", ("e1", None), False),
        ("e1", ("e2", None), True),
        ("", ("e2", "m1"), False),
        ("", ("e2", "m2"), True),
        ("", ("e2", None), False),
    ],
)
def test_verifier_compares_the_md5_without_an_etag(
    etag: str, found: tuple[str, str | None], changed: bool
) -> None:
    committed = CommittedArtifact(1, "worker_1", "tracks/1", 5, "m1", etag)
    stat = ObjectStat("tracks/1", 5, *found, modified_at=datetime(2026, 1, 1, tzinfo=UTC))
    assert is_changed(committed, stat) is changed
    assert is_changed(committed, None)
