"""Artifact verifier: in a store that allows replacing, each object is checked again after its URL
expired."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from sqlmodel import Session

from tests.scheduler.farm_fixture import URL_SECONDS, FarmFixture, briefs
from trackfarm.protocol.operator import TrackState
from trackfarm_scheduler.db import jobs
from trackfarm_scheduler.db.artifacts import Committed
from trackfarm_scheduler.db.tables import ArtifactRow, JobRow, WorkerRow
from trackfarm_scheduler.loops.artifact_verifier import ArtifactVerifier, is_changed
from trackfarm_scheduler.objects.base import ObjectStat

MARGIN = 60.0


@pytest.fixture
def late_look(scene: FarmFixture) -> ArtifactVerifier:
    scene.objects.writes_once = False
    return ArtifactVerifier(
        database=scene.database,
        objects=scene.objects,
        leadership=scene.leadership,
        clock=scene.clock,
        margin=MARGIN,
    )


@pytest.fixture
def worker(scene: FarmFixture) -> WorkerRow:
    return scene.join()


@pytest.fixture
def job_id(scene: FarmFixture, worker: WorkerRow) -> str:
    new_job_id = scene.submit(briefs(3)).job_id
    scene.finish(worker, scene.claimed(worker, new_job_id))
    assert scene.settled(new_job_id) == "done"
    return new_job_id


def swap(scene: FarmFixture, track_id: int) -> str:
    """Replace an object as the holder of an upload URL could; the size stays."""
    key = next(a.object_key for a in scene.artifacts() if a.track_id == track_id)
    scene.objects.content[key] = scene.objects.content[key][::-1]
    return key


def test_what_was_swapped_is_void_and_made_again(
    scene: FarmFixture, late_look: ArtifactVerifier, worker: WorkerRow, job_id: str
) -> None:
    swapped = scene.ids(job_id)[1]
    key = swap(scene, swapped)
    scene.clock.advance(URL_SECONDS + MARGIN)
    late_look.tick()
    assert scene.states(job_id) == {"done": 3}, "the URL may still be used"
    scene.clock.advance(1)
    late_look.tick()
    assert scene.states(job_id) == {"done": 2, "pending": 1}
    assert scene.job(job_id).state == "running"
    assert scene.worker(worker.id).strikes == 1
    assert key not in scene.objects.content
    scene.finish(worker, scene.claimed(worker, job_id))
    assert scene.settled(job_id) == "done"


def test_an_object_is_looked_at_once(
    scene: FarmFixture, late_look: ArtifactVerifier, job_id: str
) -> None:
    scene.clock.advance(URL_SECONDS + MARGIN + 1)
    late_look.tick()
    assert all(a.looked_at == scene.clock() for a in scene.rows(ArtifactRow))
    swap(scene, scene.ids(job_id)[0])
    late_look.tick()
    assert scene.states(job_id) == {"done": 3}


def test_a_track_of_a_cancelled_job_has_failed(
    scene: FarmFixture, late_look: ArtifactVerifier, worker: WorkerRow
) -> None:
    job_id = scene.submit(briefs(2)).job_id
    first, _ = scene.ids(job_id)
    offer = scene.claimed(worker, job_id, [first])
    scene.finish(worker, offer)
    scene.change(job_id, jobs.cancel)
    swap(scene, first)
    scene.clock.advance(URL_SECONDS + MARGIN + 1)
    late_look.tick()
    assert scene.states(job_id) == {"failed": 1, "cancelled": 1}
    assert "changed after the commit" in scene.track(first).error


@pytest.mark.parametrize("act", [jobs.pause, jobs.cancel, jobs.run_dry])
def test_a_job_that_goes_on_gets_what_another_has_stopped_making(
    scene: FarmFixture,
    late_look: ArtifactVerifier,
    worker: WorkerRow,
    act: Callable[[Session, JobRow, float], None],
) -> None:
    stopped = scene.submit(briefs(2)).job_id
    going = scene.submit(briefs(3)[1:]).job_id
    shared = scene.ids(going)[0]
    scene.finish(worker, scene.claimed(worker, stopped, [shared]))
    scene.change(stopped, act)
    swap(scene, shared)
    scene.clock.advance(URL_SECONDS + MARGIN + 1)
    late_look.tick()
    assert shared in scene.made_by(going, TrackState.PENDING)
    scene.finish(scene.join(), scene.claimed(scene.join("new"), going))


def test_a_store_that_writes_once_is_trusted(
    scene: FarmFixture, late_look: ArtifactVerifier, job_id: str
) -> None:
    swap(scene, scene.ids(job_id)[0])
    scene.objects.writes_once = True
    scene.clock.advance(URL_SECONDS + MARGIN + 1)
    late_look.tick()
    assert scene.states(job_id) == {"done": 3}


def test_a_removed_job_does_not_go_on(
    scene: FarmFixture, late_look: ArtifactVerifier, job_id: str
) -> None:
    swap(scene, scene.ids(job_id)[0])
    scene.change(job_id, jobs.remove)
    scene.clock.advance(URL_SECONDS + MARGIN + 1)
    late_look.tick()
    assert scene.job(job_id).state == "done"


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
def test_what_was_committed_before_etags_were_noted_is_told_by_its_md5(
    etag: str, found: tuple[str, str | None], changed: bool
) -> None:
    committed = Committed(1, "worker_1", "tracks/1", 5, "m1", etag)
    stat = ObjectStat("tracks/1", 5, *found, modified_at=datetime(2026, 1, 1, tzinfo=UTC))
    assert is_changed(committed, stat) is changed
    assert is_changed(committed, None)
