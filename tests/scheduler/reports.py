"""Reports of workers, modified copies of them, and their verdicts."""

from typing import Any

from tests.scheduler.farm_fixture import FarmFixture, failure
from trackfarm.protocol.worker import FailureKind, ReportVerdict, TrackDone, TrackVerdict


def refusal(verdicts: list[TrackVerdict]) -> str:
    (verdict,) = verdicts
    assert verdict.verdict is ReportVerdict.REFUSED
    return verdict.reason


def changed(done: TrackDone, **values: Any) -> TrackDone:
    return done.model_copy(update=values)


def fail_all(scene: FarmFixture, job_id: str) -> None:
    """Fail each open track with a kind that is never retried."""
    worker = scene.join()
    offer = scene.claimed(worker, job_id)
    ids = [a.track_id for a in scene.attempts(offer)]
    scene.report(worker, offer, failed=[failure(i, FailureKind.BAD_INPUT) for i in ids])
