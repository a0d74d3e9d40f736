"""Reports as workers send them, changed, and what is answered."""

from typing import Any

from trackfarm.wire import TrackDone, TrackVerdict, Verdict


def refusal(verdicts: list[TrackVerdict]) -> str:
    (verdict,) = verdicts
    assert verdict.verdict is Verdict.REFUSED
    return verdict.reason


def changed(done: TrackDone, **values: Any) -> TrackDone:
    return done.model_copy(update=values)
