"""Classification of the results in one report: committed, failed, or refused with a reason."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from trackfarm.catalog.vocabulary import AudioFormat
from trackfarm.identity import next_seeds
from trackfarm.protocol.operator import TrackState
from trackfarm.protocol.worker import (
    FailureKind,
    ReportVerdict,
    Timings,
    TrackDone,
    TrackFailed,
    TrackVerdict,
)
from trackfarm_scheduler.db import tracks
from trackfarm_scheduler.db.reports import ReportedTrack
from trackfarm_scheduler.policy.leases import CommitRefusal, judge_commit
from trackfarm_scheduler.policy.models import CommitFacts
from trackfarm_scheduler.policy.states import AttemptState, LeaseState
from trackfarm_scheduler.policy.validation import ExpectedAudio, implausibility
from trackfarm_scheduler.results.failures import TrackFailure
from trackfarm_scheduler.results.object_check import Mismatch, ObjectCheck


def commit_verdict(facts: CommitFacts | None, done: TrackDone) -> TrackState | CommitRefusal:
    """Ask the commit rule about one result: before its object is checked, and again when it is
    stored, since its lease may have ended meanwhile."""
    return judge_commit(facts, object_key=done.object_key)


@dataclass(frozen=True, slots=True)
class AcceptedTrack:
    """Accepted result; `etag` is that of its object when it was checked."""

    done: TrackDone
    etag: str

    def with_timings(self, timings: Timings) -> "AcceptedTrack":
        return replace(self, done=self.done.model_copy(update={"timings": timings}))


@dataclass(slots=True)
class ReportClassification:
    """Classification of a report under a lease in state `lease`; `rows` holds its attempts and
    tracks. `timings`: of accepted and failed results; `refused_keys`: objects to delete;
    `false_claims`: number of results that only the worker can have falsified."""

    lease: LeaseState
    rows: Mapping[int, ReportedTrack]
    verdicts: list[TrackVerdict] = field(default_factory=list)
    accepted: dict[int, AcceptedTrack] = field(default_factory=dict)
    failures: dict[int, TrackFailure] = field(default_factory=dict)
    timings: dict[int, Timings] = field(default_factory=dict)
    refused_keys: set[str] = field(default_factory=set)
    false_claims: int = 0

    def add_done(self, done: TrackDone, check: ObjectCheck) -> None:
        row = self.rows.get(done.track_id)
        verdict = commit_verdict(row.facts if row is not None else None, done)
        if verdict is TrackState.DONE or done.track_id in self.accepted:
            self._answer(done.track_id, ReportVerdict.ALREADY_DONE)
        elif isinstance(verdict, CommitRefusal) or row is None:
            self._answer(done.track_id, ReportVerdict.REFUSED, verdict)
            self.false_claims += verdict is CommitRefusal.OTHER_OBJECT
        elif done.track_id in self.failures:
            self._answer(done.track_id, ReportVerdict.REFUSED, CommitRefusal.NOT_IN_SHARD)
        elif mismatch := check.mismatch or _mismatch(done, row):
            self._refuse(done, row, mismatch)
        else:
            self._answer(done.track_id, ReportVerdict.COMMITTED)
            self.accepted[done.track_id] = AcceptedTrack(done, check.etag)
            self.timings[done.track_id] = done.timings

    def add_failed(self, failed: TrackFailed) -> None:
        row = self.rows.get(failed.track_id)
        if self.lease is not LeaseState.LIVE:
            self._answer(failed.track_id, ReportVerdict.REFUSED, CommitRefusal.LEASE_ENDED)
        elif row is None or row.attempt.state != AttemptState.OPEN or self._has(failed.track_id):
            self._answer(failed.track_id, ReportVerdict.REFUSED, CommitRefusal.NOT_IN_SHARD)
        else:
            self._answer(failed.track_id, ReportVerdict.NOTED)
            self.failures[failed.track_id] = TrackFailure(row.track, failed.kind, failed.message)
            self.timings[failed.track_id] = failed.timings

    def _has(self, track_id: int) -> bool:
        return track_id in self.accepted or track_id in self.failures

    def _refuse(self, done: TrackDone, row: ReportedTrack, mismatch: Mismatch) -> None:
        self._answer(done.track_id, ReportVerdict.REFUSED, mismatch.reason)
        failure = TrackFailure(row.track, FailureKind.OBJECT_MISMATCH, mismatch.reason)
        self.failures[done.track_id] = failure
        self.timings[done.track_id] = done.timings
        self.refused_keys.add(row.attempt.object_key)
        self.false_claims += mismatch.is_false_claim

    def _answer(self, track_id: int, verdict: ReportVerdict, reason: object = "") -> None:
        self.verdicts.append(TrackVerdict(track_id=track_id, verdict=verdict, reason=str(reason)))


def _mismatch(done: TrackDone, row: ReportedTrack) -> Mismatch | None:
    """Compare a result with its brief and key, so that the track can be reproduced."""
    audio_format: AudioFormat = row.track.audio_format  # type: ignore[assignment]  # from a brief
    if reason := implausibility(done, ExpectedAudio(row.track.duration, audio_format)):
        return Mismatch(reason)
    if done.seed == row.attempt.seed:
        return None
    requested_seed = tracks.requested_seed(row.track.brief)
    tries = row.attempt.try_number
    if done.seed in next_seeds(
        row.track.key, row.attempt.seed, tries=tries, brief_seed=requested_seed
    ):
        return None
    return Mismatch(f"the seed {done.seed} was not offered", is_false_claim=False)
