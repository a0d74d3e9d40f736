"""Track state; the only module that writes `track.state`."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Row, Update, bindparam, select, update
from sqlmodel import Session, col

from trackfarm.protocol.operator import TrackState
from trackfarm_scheduler.db.tables import TrackRow, table_of
from trackfarm_scheduler.policy.states import TRACK

_TRACK = table_of(TrackRow)
_IDS = _TRACK.c.id.in_(bindparam("ids", expanding=True))
_FOR_AN_ATTEMPT = (
    _TRACK.c.id,
    _TRACK.c.key,
    _TRACK.c.tries,
    (_TRACK.c.failures - _TRACK.c.crashes).label("misses"),
    _TRACK.c.brief,
    _TRACK.c.variation,
    _TRACK.c.audio_format,
)
_LEASE = (
    update(_TRACK)
    .where(_IDS, _TRACK.c.state.in_([state.value for state in TRACK.sources(TrackState.LEASED)]))
    .values(state=TrackState.LEASED.value, tries=_TRACK.c.tries + 1)
    .returning(*_FOR_AN_ATTEMPT)
)
_STILL_LEASED = select(*_FOR_AN_ATTEMPT).where(_IDS, _TRACK.c.state == TrackState.LEASED.value)
_LOCK = select(_TRACK.c.id).where(_IDS).order_by(_TRACK.c.id).with_for_update()


@dataclass(frozen=True, slots=True)
class FailureNote:
    crashed: bool
    counted: bool


def move(
    session: Session,
    ids: Iterable[int],
    target: TrackState,
    *,
    source: TrackState | None = None,
    **values: Any,
) -> list[int]:
    """Move the tracks of `ids` that may go to `target` (from `source` alone, if given); return
    their ids."""
    track_ids = list(ids)
    if not track_ids:
        return []
    set_to = {f"to_{name}": value for name, value in values.items()}
    statement = _moving(target, source, tuple(values))
    return list(session.scalars(statement, {"ids": track_ids, **set_to}))


@cache
def _moving(target: TrackState, source: TrackState | None, names: tuple[str, ...]) -> Update:
    # A done track is reopened only by a caller that names DONE as the source.
    sources = [source] if source else [s for s in TRACK.sources(target) if s is not TrackState.DONE]
    return (
        update(_TRACK)
        .where(
            _TRACK.c.id.in_(bindparam("ids", expanding=True)),
            _TRACK.c.state.in_([state.value for state in sources]),
        )
        .values({"state": target.value, **{name: bindparam(f"to_{name}") for name in names}})
        .returning(_TRACK.c.id)
    )


def lease(session: Session, ids: Sequence[int]) -> Sequence[Row[Any]]:
    """Begin the next try of the pending tracks of `ids`; return the columns that an attempt
    needs."""
    return session.execute(_LEASE, {"ids": ids}).all() if ids else []


def lock_leased(session: Session, ids: Sequence[int]) -> Sequence[Row[Any]]:
    """Lock `ids` until the transaction ends; return the leased ones with the same columns."""
    lock(session, ids)
    return session.execute(_STILL_LEASED, {"ids": ids}).all() if ids else []


def lock(session: Session, ids: Sequence[int]) -> None:
    """Lock these tracks until the transaction ends."""
    session.execute(_LOCK, {"ids": ids})


def cancel_open(session: Session, job_id: str, now: float) -> int:
    """Cancel the unfinished tracks that the job makes; return how many."""
    result = session.execute(
        update(TrackRow)
        .where(
            col(TrackRow.job_id) == job_id,
            col(TrackRow.state).in_(TRACK.sources(TrackState.CANCELLED)),
        )
        .values(state=TrackState.CANCELLED, ended_at=now)
    )
    return int(result.rowcount)  # type: ignore[attr-defined]


def record_failure(session: Session, track_id: int, note: FailureNote) -> tuple[int, int]:
    """Add a failure to a track's record; return (failures, crashes)."""
    row = session.execute(
        update(TrackRow)
        .where(col(TrackRow.id) == track_id)
        .values(
            failures=col(TrackRow.failures) + int(note.counted),
            crashes=col(TrackRow.crashes) + int(note.crashed),
        )
        .returning(col(TrackRow.failures), col(TrackRow.crashes))
    ).one()
    return row[0], row[1]


def requested_seed(brief: str) -> int | None:
    """Return the seed that the stored brief asks for; None if it has none."""
    seed = json.loads(brief).get("seed")
    return None if seed is None else int(seed)
