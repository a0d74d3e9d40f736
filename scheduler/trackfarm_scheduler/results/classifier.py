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
from trackfarm_scheduler.db.tables import AttemptRow, TrackRow
from trackfarm_scheduler.policy.leases import CommitRefusal, judge_commit
from trackfarm_scheduler.policy.models import CommitFacts
from trackfarm_scheduler.policy.states import AttemptState, LeaseState
from trackfarm_scheduler.policy.validation import ExpectedAudio, implausibility
from trackfarm_scheduler.results.failures import TrackFailure
from trackfarm_scheduler.results.object_check import Flaw, Seen


@dataclass(frozen=True, slots=True)
class ReportedTrack:
    attempt: AttemptRow
    track: TrackRow


@dataclass(frozen=True, slots=True)
class AcceptedTrack:
    """Accepted result; `etag` is that of its object when it was checked."""

    done: TrackDone
    etag: str

    def taking(self, timings: Timings) -> "AcceptedTrack":
        return replace(self, done=self.done.model_copy(update={"timings": timings}))


@dataclass(slots=True)
class ReportClassification:
    """Classification of a report under a lease in state `lease`; `rows` holds its attempts and
    tracks. `settled`: timings of accepted and failed results; `refused`: keys of objects to delete;
    `lies`: number of results that only the worker can have falsified."""

    lease: LeaseState
    rows: Mapping[int, ReportedTrack]
    verdicts: list[TrackVerdict] = field(default_factory=list)
    good: dict[int, AcceptedTrack] = field(default_factory=dict)
    failures: dict[int, TrackFailure] = field(default_factory=dict)
    settled: dict[int, Timings] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    lies: int = 0

    def take_done(self, done: TrackDone, seen: Seen) -> None:
        row = self.rows.get(done.track_id)
        verdict = judge_commit(facts_of(self.lease, row), object_key=done.object_key)
        if verdict is TrackState.DONE or done.track_id in self.good:
            self._say(done.track_id, ReportVerdict.ALREADY_DONE)
        elif isinstance(verdict, CommitRefusal) or row is None:
            self._say(done.track_id, ReportVerdict.REFUSED, verdict)
            self.lies += verdict is CommitRefusal.OTHER_OBJECT
        elif done.track_id in self.failures:
            self._say(done.track_id, ReportVerdict.REFUSED, CommitRefusal.NOT_IN_SHARD)
        elif flaw := seen.flaw or _flaw(done, row):
            self._refuse(done, row, flaw)
        else:
            self._say(done.track_id, ReportVerdict.COMMITTED)
            self.good[done.track_id] = AcceptedTrack(done, seen.etag)
            self.settled[done.track_id] = done.timings

    def take_failed(self, failed: TrackFailed) -> None:
        row = self.rows.get(failed.track_id)
        if self.lease is not LeaseState.LIVE:
            self._say(failed.track_id, ReportVerdict.REFUSED, CommitRefusal.LEASE_ENDED)
        elif row is None or row.attempt.state != AttemptState.OPEN or self._has(failed.track_id):
            self._say(failed.track_id, ReportVerdict.REFUSED, CommitRefusal.NOT_IN_SHARD)
        else:
            self._say(failed.track_id, ReportVerdict.NOTED)
            self.failures[failed.track_id] = TrackFailure(row.track, failed.kind, failed.message)
            self.settled[failed.track_id] = failed.timings

    def _has(self, track_id: int) -> bool:
        return track_id in self.good or track_id in self.failures

    def _refuse(self, done: TrackDone, row: ReportedTrack, flaw: Flaw) -> None:
        self._say(done.track_id, ReportVerdict.REFUSED, flaw.reason)
        failure = TrackFailure(row.track, FailureKind.OBJECT_MISMATCH, flaw.reason)
        self.failures[done.track_id] = failure
        self.settled[done.track_id] = done.timings
        self.refused.add(row.attempt.object_key)
        self.lies += flaw.is_false

    def _say(self, track_id: int, verdict: ReportVerdict, reason: object = "") -> None:
        self.verdicts.append(TrackVerdict(track_id=track_id, verdict=verdict, reason=str(reason)))


def facts_of(lease: LeaseState, row: ReportedTrack | None) -> CommitFacts:
    return CommitFacts(
        lease=lease,
        attempt=AttemptState(row.attempt.state) if row else None,
        object_key=row.attempt.object_key if row else "",
        track=TrackState(row.track.state) if row else TrackState.CANCELLED,
    )


def _flaw(done: TrackDone, row: ReportedTrack) -> Flaw | None:
    """Compare a result with its brief and key, so that the track can be reproduced."""
    audio_format: AudioFormat = row.track.audio_format  # type: ignore[assignment]  # from a brief
    if reason := implausibility(done, ExpectedAudio(row.track.duration, audio_format)):
        return Flaw(reason)
    if done.seed == row.attempt.seed:
        return None
    requested_seed = tracks.given_seed(row.track.brief)
    tries = row.attempt.try_number
    if done.seed in next_seeds(row.track.key, row.attempt.seed, tries=tries, given=requested_seed):
        return None
    return Flaw(f"the seed {done.seed} was not offered", is_false=False)
