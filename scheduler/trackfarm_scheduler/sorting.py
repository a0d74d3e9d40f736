"""Classification of the results in one report: committed, failed, or refused with a reason."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from trackfarm.api import TrackState
from trackfarm.catalog.music import AudioFormat
from trackfarm.identity import next_seeds
from trackfarm.wire import FailureKind, Timings, TrackDone, TrackFailed, TrackVerdict, Verdict
from trackfarm_scheduler.inspection import Flaw, Seen
from trackfarm_scheduler.leases import CommitFacts, Refusal, judge_commit
from trackfarm_scheduler.machines import AttemptState, LeaseState
from trackfarm_scheduler.plausible import Ordered, implausible
from trackfarm_scheduler.rulings import Failure
from trackfarm_scheduler.store import tracks
from trackfarm_scheduler.store.tables import Attempt, Track


@dataclass(frozen=True, slots=True)
class Row:
    attempt: Attempt
    track: Track


@dataclass(frozen=True, slots=True)
class Good:
    """Accepted result; `etag` is that of its object when it was checked."""

    done: TrackDone
    etag: str

    def taking(self, timings: Timings) -> "Good":
        return replace(self, done=self.done.model_copy(update={"timings": timings}))


@dataclass(slots=True)
class Sorting:
    """Classification of a report under a lease in state `lease`; `rows` holds its attempts and
    tracks. `settled`: timings of accepted and failed results; `refused`: keys of objects to delete;
    `lies`: number of results that only the worker can have falsified."""

    lease: LeaseState
    rows: Mapping[int, Row]
    verdicts: list[TrackVerdict] = field(default_factory=list)
    good: dict[int, Good] = field(default_factory=dict)
    failures: dict[int, Failure] = field(default_factory=dict)
    settled: dict[int, Timings] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    lies: int = 0

    def take_done(self, done: TrackDone, seen: Seen) -> None:
        row = self.rows.get(done.track_id)
        verdict = judge_commit(facts_of(self.lease, row), object_key=done.object_key)
        if verdict is TrackState.DONE or done.track_id in self.good:
            self._say(done.track_id, Verdict.ALREADY_DONE)
        elif isinstance(verdict, Refusal) or row is None:
            self._say(done.track_id, Verdict.REFUSED, verdict)
            self.lies += verdict is Refusal.OTHER_OBJECT
        elif done.track_id in self.failures:
            self._say(done.track_id, Verdict.REFUSED, Refusal.NOT_IN_SHARD)
        elif flaw := seen.flaw or _flaw(done, row):
            self._refuse(done, row, flaw)
        else:
            self._say(done.track_id, Verdict.COMMITTED)
            self.good[done.track_id] = Good(done, seen.etag)
            self.settled[done.track_id] = done.timings

    def take_failed(self, failed: TrackFailed) -> None:
        row = self.rows.get(failed.track_id)
        if self.lease is not LeaseState.LIVE:
            self._say(failed.track_id, Verdict.REFUSED, Refusal.LEASE_ENDED)
        elif row is None or row.attempt.state != AttemptState.OPEN or self._has(failed.track_id):
            self._say(failed.track_id, Verdict.REFUSED, Refusal.NOT_IN_SHARD)
        else:
            self._say(failed.track_id, Verdict.NOTED)
            self.failures[failed.track_id] = Failure(row.track, failed.kind, failed.message)
            self.settled[failed.track_id] = failed.timings

    def _has(self, track_id: int) -> bool:
        return track_id in self.good or track_id in self.failures

    def _refuse(self, done: TrackDone, row: Row, flaw: Flaw) -> None:
        self._say(done.track_id, Verdict.REFUSED, flaw.reason)
        failure = Failure(row.track, FailureKind.OBJECT_MISMATCH, flaw.reason)
        self.failures[done.track_id] = failure
        self.settled[done.track_id] = done.timings
        self.refused.add(row.attempt.object_key)
        self.lies += flaw.is_false

    def _say(self, track_id: int, verdict: Verdict, reason: object = "") -> None:
        self.verdicts.append(TrackVerdict(track_id=track_id, verdict=verdict, reason=str(reason)))


def facts_of(lease: LeaseState, row: Row | None) -> CommitFacts:
    return CommitFacts(
        lease=lease,
        attempt=AttemptState(row.attempt.state) if row else None,
        object_key=row.attempt.object_key if row else "",
        track=TrackState(row.track.state) if row else TrackState.CANCELLED,
    )


def _flaw(done: TrackDone, row: Row) -> Flaw | None:
    """Compare a result with its brief and key, so that the track can be reproduced."""
    audio_format: AudioFormat = row.track.audio_format  # type: ignore[assignment]  # from a brief
    if reason := implausible(done, Ordered(row.track.duration, audio_format)):
        return Flaw(reason)
    if done.seed == row.attempt.seed:
        return None
    requested_seed = tracks.given_seed(row.track.brief)
    tries = row.attempt.try_number
    if done.seed in next_seeds(row.track.key, row.attempt.seed, tries=tries, given=requested_seed):
        return None
    return Flaw(f"the seed {done.seed} was not offered", is_false=False)
