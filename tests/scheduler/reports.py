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


def fail_all(farm: FarmFixture, job_id: str) -> None:
    """Fail each open track with a kind that is never retried."""
    worker = farm.join()
    offer = farm.lease(worker, job_id)
    ids = [a.track_id for a in farm.attempts(offer)]
    farm.report(worker, offer, failed=[failure(i, FailureKind.BAD_INPUT) for i in ids])
