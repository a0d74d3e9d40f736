"""Submission of jobs: briefs become tracks, or are linked to tracks that were requested before.

A job is unsealed, and so invisible to placement, until its last brief is stored; an interrupted
upload leaves nothing behind.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from sqlalchemy import Insert, bindparam, delete, insert, select, update
from sqlmodel import Session, col

from trackfarm.catalog import Brief
from trackfarm.identity import new_id, track_key
from trackfarm.model_sets import ModelSet
from trackfarm.planning.demand import effort_of
from trackfarm.planning.model_set_check import min_vram_of
from trackfarm.protocol.operator import JobHeader, JobState, TrackState
from trackfarm_scheduler.db import events, shared_tracks, track_list, uploads
from trackfarm_scheduler.db.events import JournalEvent
from trackfarm_scheduler.db.occurrences import Occurrences
from trackfarm_scheduler.db.statements import dialect_of, insert_into
from trackfarm_scheduler.db.tables import JobOrigin, JobRow, JobTrackRow, TrackRow, table_of

_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
KEYS_PER_QUERY = 500
_INSERT_LINKS = insert(table_of(JobTrackRow))
_JOB, _TRACK = table_of(JobRow), table_of(TrackRow)
_TOUCH = (
    update(_JOB)
    .where(_JOB.c.id == bindparam("job"))
    .values(touched_at=bindparam("touched_at"))
    .returning(_JOB.c.id)
)
_LOCK = select(_JOB.c.id).where(_JOB.c.id == bindparam("job")).with_for_update()
_STALE = col(JobRow.sealed_at).is_(None), col(JobRow.touched_at) < bindparam("before")
_SEAL = (
    update(_JOB)
    .where(_JOB.c.id == bindparam("job"))
    .values(
        {
            name: bindparam(name)
            for name in ("digest", "new_tracks", "track_count", "audio_seconds", "sealed_at")
        }
    )
)
_DUPLICATE = (
    select(_JOB.c.id)
    .where(
        _JOB.c.owner == bindparam("by_owner"),
        _JOB.c.digest == bindparam("of_tracks"),
        _JOB.c.sealed_at.is_not(None),
        _JOB.c.removed_at.is_(None),
        _JOB.c.state != JobState.CANCELLED.value,
    )
    .order_by(_JOB.c.created_at)
    .limit(1)
)
_IDS = (
    select(_TRACK.c.key, _TRACK.c.id, _TRACK.c.job_id)
    .where(_TRACK.c.key.in_(bindparam("keys", expanding=True)))
    .with_for_update(read=True, key_share=True)  # no track may be deleted before it is linked
)


@cache
def _inserting_tracks(dialect: str) -> Insert:
    return insert_into(_TRACK, dialect).on_conflict_do_nothing(index_elements=["key"])


@dataclass(frozen=True, slots=True)
class _TrackItem:
    key: str
    brief: Brief
    variation: int


@dataclass(frozen=True, slots=True)
class SealedJob:
    """The result of a submission. `job_id` is an older job if exactly the same tracks had been
    submitted before; `taken_over` counts the tracks taken over from other jobs."""

    job_id: str
    already_submitted: bool
    taken_over: int


class SubmissionExpired(Exception):
    """The submission received nothing for so long that it was treated as interrupted."""


class JobSubmission:
    """A submission in progress. `add` and `seal` each run in the caller's transaction."""

    def __init__(
        self,
        *,
        owner: str,
        header: JobHeader,
        model_set: ModelSet,
        now: float,
        key_id: str = "",
        origin: JobOrigin = JobOrigin.CATALOG,
    ) -> None:
        self.job_id = new_id("job")
        self.owner = owner
        self._key_id = key_id
        self._origin = origin
        self.header = header
        self.model_set = model_set
        self._now = now
        self._occurrences = Occurrences()
        self._digest = hashlib.sha256()
        self._ordinal = 0
        self._new = 0
        self._audio_seconds = 0.0

    def open(self, session: Session) -> None:
        session.add(
            JobRow(
                id=self.job_id,
                owner=self.owner,
                key_id=self._key_id,
                catalog=self.header.catalog,
                model_set=self.model_set.name,
                state=JobState.ACCEPTED,
                priority=self.header.priority,
                lane=self.header.lane,
                origin=self._origin,
                deadline=self.header.deadline.timestamp() if self.header.deadline else None,
                budget=self.header.budget,
                created_at=self._now,
                touched_at=self._now,
            )
        )

    def add(self, session: Session, briefs: Sequence[Brief], now: float) -> None:
        """Store a chunk of validated briefs. Raises GivenUp."""
        if session.scalar(_TOUCH, {"job": self.job_id, "touched_at": now}) is None:
            raise SubmissionExpired
        uploads.record_use(session, self.job_id, uploads.keys_of(briefs, self.owner), now)
        items = [item for brief in briefs for item in self._expand(brief)]
        for start in range(0, len(items), KEYS_PER_QUERY):
            self._store(session, items[start : start + KEYS_PER_QUERY])

    def _expand(self, brief: Brief) -> Iterator[_TrackItem]:
        canonical = brief.canonical()
        occurrence = self._occurrences.next(canonical)
        for variation in range(brief.variations):
            key = track_key(
                owner=self.owner,
                catalog=self.header.catalog,
                brief=canonical,
                occurrence=occurrence,
                variation=variation,
                model_set=self.model_set.identity,
            )
            yield _TrackItem(key, brief, variation)

    def _store(self, session: Session, items: Sequence[_TrackItem]) -> None:
        existing = _ids(session, [item.key for item in items])
        new_items = [item for item in items if item.key not in existing]
        if new_items:
            statement = _inserting_tracks(dialect_of(session))
            session.execute(statement, [self._track_row(item) for item in new_items])
        stored = existing | _ids(session, [item.key for item in new_items])
        links = [self._link_row(item, *stored[item.key]) for item in items]
        session.execute(_INSERT_LINKS, links)
        tags = (item.brief.tags for item in items)
        first = self._ordinal - len(items) + 1
        track_list.store_tags(session, self.job_id, enumerate(tags, first))
        self._new += sum(1 for item in new_items if stored[item.key][1] == self.job_id)

    def _track_row(self, item: _TrackItem) -> dict[str, object]:
        steps, guided = effort_of(item.brief, self.model_set)
        return {
            "key": item.key,
            "job_id": self.job_id,
            "state": TrackState.PENDING,
            "brief": item.brief.model_dump_json(exclude_defaults=True),
            "duration": item.brief.duration,
            "steps": steps,
            "guided": guided,
            "model_set": self.model_set.name,
            "audio_format": item.brief.audio_format,
            "min_vram": min_vram_of(item.brief, self.model_set),
            "variation": item.variation,
            "tries": 0,
            "failures": 0,
            "crashes": 0,
            "not_before": 0.0,
            "error": "",
            "created_at": self._now,
        }

    def _link_row(self, item: _TrackItem, track_id: int, maker: str) -> dict[str, object]:
        self._digest.update(item.key.encode())
        self._audio_seconds += item.brief.duration
        self._ordinal += 1
        return {
            "job_id": self.job_id,
            "ordinal": self._ordinal,
            "track_id": track_id,
            "name": item.brief.name or "",
            "tags": _COMPACT.encode(item.brief.tags),
            "shared": maker != self.job_id,
        }

    @property
    def new_tracks(self) -> int:
        """Number of tracks that no job had requested before."""
        return self._new

    def seal(self, session: Session) -> SealedJob:
        """Make the job visible, or find the earlier job with exactly the same tracks. Raises
        GivenUp."""
        if session.scalar(_LOCK, {"job": self.job_id}) is None:
            raise SubmissionExpired
        digest = self._digest.hexdigest()
        duplicate = _find_duplicate(session, self.owner, digest)
        if duplicate is not None:
            abandon(session, self.job_id)
            return SealedJob(duplicate, already_submitted=True, taken_over=0)
        # If every track is new, there is none to take over.
        taken_over = (
            shared_tracks.take_over(session, self.job_id) if self._new < self._ordinal else 0
        )
        session.execute(
            _SEAL,
            {
                "job": self.job_id,
                "digest": digest,
                "new_tracks": self._new,
                "track_count": self._ordinal,
                "audio_seconds": self._audio_seconds,
                "sealed_at": self._now,
            },
        )
        facts = {"catalog": self.header.catalog, "tracks": self._ordinal, "new": self._new}
        events.record(session, JournalEvent(self._now, "job_accepted", self.job_id, data=facts))
        events.count(session, "tracks_accepted", self._new, model_set=self.model_set.name)
        return SealedJob(self.job_id, already_submitted=False, taken_over=taken_over)


def abandon(session: Session, job_id: str) -> None:
    """Remove a job, and its pending tracks that no other job requested."""
    shared_tracks.transfer(session, job_id)
    shared_tracks.transfer(session, job_id, states=list(JobState))  # inactive jobs may resume later
    uploads.delete_uses(session, job_id)
    track_list.delete_tags(session, job_id)
    session.execute(delete(JobTrackRow).where(col(JobTrackRow.job_id) == job_id))
    session.execute(
        delete(TrackRow).where(
            col(TrackRow.job_id) == job_id, col(TrackRow.state) == TrackState.PENDING
        )
    )
    session.execute(delete(JobRow).where(col(JobRow.id) == job_id))


def list_stale(session: Session, *, untouched_since: float) -> list[str]:
    """Return unsealed jobs with no chunk since `untouched_since`."""
    return list(session.scalars(select(col(JobRow.id)).where(*_STALE), {"before": untouched_since}))


def abandon_stale(session: Session, job_id: str, *, untouched_since: float) -> None:
    """Abandon such a job unless another chunk has arrived since."""
    stale = select(col(JobRow.id)).where(col(JobRow.id) == job_id, *_STALE).with_for_update()
    if session.scalar(stale, {"before": untouched_since}) is not None:
        abandon(session, job_id)


def _ids(session: Session, keys: Sequence[str]) -> dict[str, tuple[int, str]]:
    if not keys:
        return {}
    rows = session.execute(_IDS, {"keys": list(keys)})
    return {key: (track_id, job_id) for key, track_id, job_id in rows}


def _find_duplicate(session: Session, owner: str, digest: str) -> str | None:
    """Return the oldest job over the same tracks in the same order that was not cancelled."""
    return session.scalar(_DUPLICATE, {"by_owner": owner, "of_tracks": digest})
