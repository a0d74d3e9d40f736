"""Offers: new shards, their leases, and an attempt for each of their tracks."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, bindparam, func, insert, select
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from trackfarm.identity import new_id, seed_of
from trackfarm_scheduler.db import events, tracks
from trackfarm_scheduler.db.events import JournalEvent
from trackfarm_scheduler.db.tables import AttemptRow, LeaseRow, ShardRow, WorkerRow, table_of
from trackfarm_scheduler.objects.keys import attempt_key
from trackfarm_scheduler.policy.models import NewShard
from trackfarm_scheduler.policy.states import LIVE_STATES, AttemptState, LeaseState, ShardState

_LEASE, _WORKER = table_of(LeaseRow), table_of(WorkerRow)
_INSERT_SHARDS = insert(table_of(ShardRow))
_INSERT_LEASES = insert(_LEASE)
_INSERT_ATTEMPTS = insert(table_of(AttemptRow))
_TARGETS = select(
    _WORKER.c.id,
    _WORKER.c.model_set,
    _WORKER.c.price_per_hour,
    select(func.coalesce(func.max(_LEASE.c.sequence), 0))
    .where(_LEASE.c.queue == _WORKER.c.queue)
    .scalar_subquery()
    .label("sequence"),
).where(
    _WORKER.c.id.in_(bindparam("ids", expanding=True)),
    _WORKER.c.state.in_([state.value for state in LIVE_STATES]),
)


_UNCLAIMED_SINCE = select(_LEASE.c.offered_at).where(
    _LEASE.c.state == LeaseState.LIVE.value, _LEASE.c.worker_id.is_(None)
)


@dataclass(frozen=True, slots=True)
class ShardOffer:
    """The content of a broker message, and its queue."""

    queue: str
    shard_id: str
    lease_id: str


@dataclass(slots=True)
class _OfferTarget:
    """A worker that is offered shards; `sequence` is the latest in its queue."""

    model_set: str
    price_per_hour: float
    sequence: int


@dataclass(frozen=True, slots=True)
class _NewShardRows:
    offer: ShardOffer
    shard: NewShard
    tracks: Sequence[Row[Any]]
    model_set: str
    price_per_hour: float
    sequence: int


def create(
    session: Session, shards: Sequence[NewShard], *, now: float, is_speculative: bool
) -> list[ShardOffer]:
    """Lease the tracks of new shards to their workers. Skips shards with no track left to lease, or
    with a worker that stopped accepting work. In a race (speculative copy) the tracks are leased
    already, and stay so."""
    new = list(_build(session, shards, is_speculative=is_speculative))
    if new:
        session.execute(
            _INSERT_SHARDS, [_shard_row(n, now, is_speculative=is_speculative) for n in new]
        )
        session.execute(_INSERT_LEASES, [_lease_row(n, now) for n in new])
        attempts = [_attempt_row(n.offer.lease_id, track) for n in new for track in n.tracks]
        session.execute(_INSERT_ATTEMPTS, attempts)
        events.record(session, *[_offered(n, now, is_speculative=is_speculative) for n in new])
    return [n.offer for n in new]


def _build(
    session: Session, shards: Sequence[NewShard], *, is_speculative: bool
) -> Iterator[_NewShardRows]:
    targets = _targets(session, {shard.worker_id for shard in shards})
    possible = [shard for shard in shards if shard.worker_id in targets]
    track_ids_to_offer = [track_id for shard in possible for track_id in shard.track_ids]
    read_tracks = tracks.lock_leased if is_speculative else tracks.lease
    rows_by_id = {row.id: row for row in read_tracks(session, track_ids_to_offer)}
    for shard in possible:
        rows = [rows_by_id[track_id] for track_id in shard.track_ids if track_id in rows_by_id]
        target = targets[shard.worker_id]
        if rows:
            target.sequence += 1
            new_offer = ShardOffer(shard.queue, new_id("shard"), new_id("lease"))
            yield _NewShardRows(
                new_offer, shard, rows, target.model_set, target.price_per_hour, target.sequence
            )


def _targets(session: Session, worker_ids: Iterable[str]) -> Mapping[str, _OfferTarget]:
    rows = session.execute(_TARGETS, {"ids": sorted(worker_ids)})
    return {worker_id: _OfferTarget(*facts) for worker_id, *facts in rows}


def _shard_row(new: _NewShardRows, now: float, *, is_speculative: bool) -> dict[str, object]:
    return {
        "id": new.offer.shard_id,
        "job_id": new.shard.job_id,
        "queue": new.shard.queue,
        "model_set": new.model_set,
        "state": ShardState.OFFERED.value,
        "tracks": len(new.tracks),
        "expected_seconds": new.shard.expected_seconds,
        "price_per_hour": new.price_per_hour,
        "is_speculative": is_speculative,
        "created_at": now,
    }


def _lease_row(new: _NewShardRows, now: float) -> dict[str, object]:
    return {
        "id": new.offer.lease_id,
        "sequence": new.sequence,
        "shard_id": new.offer.shard_id,
        "job_id": new.shard.job_id,
        "queue": new.shard.queue,
        "state": LeaseState.LIVE.value,
        "stage": "",
        "step": 0,
        "steps": 0,
        "offered_at": now,
        "end_reason": "",
        "engine_seconds": 0.0,
    }


def _attempt_row(lease_id: str, track: Row[Any]) -> dict[str, object]:
    fixed_seed = tracks.requested_seed(track.brief)
    return {
        "lease_id": lease_id,
        "track_id": track.id,
        "try_number": track.tries,
        # Only a bad result changes the seed: an interrupted attempt is repeated as it was.
        "seed": seed_of(track.key, track.misses, brief_seed=fixed_seed, variation=track.variation),
        "state": AttemptState.OPEN.value,
        "kind": "",
        "message": "",
        "object_key": attempt_key(track.key, lease_id, track.audio_format),
        "timings": "{}",
    }


def _offered(new: _NewShardRows, now: float, *, is_speculative: bool) -> JournalEvent:
    return JournalEvent(
        now,
        "shard_offered",
        new.shard.job_id,
        shard_id=new.offer.shard_id,
        lease_id=new.offer.lease_id,
        data={"queue": new.shard.queue, "tracks": len(new.tracks), "race": is_speculative},
    )


@dataclass(frozen=True, slots=True)
class UnclaimedOffer:
    """An offer that no worker has claimed yet; `later`: messages sent to its queue after its
    own."""

    lease_id: str
    queue: str
    later: int


def list_unclaimed_ages(session: Session, now: float) -> list[float]:
    """Return the seconds that each offer has waited to be claimed."""
    return [now - offered_at for offered_at in session.scalars(_UNCLAIMED_SINCE)]


def list_unclaimed(session: Session) -> list[UnclaimedOffer]:
    later = aliased(LeaseRow)
    rows = session.execute(
        select(col(LeaseRow.id), col(LeaseRow.queue), func.count(col(later.id)))
        .outerjoin(
            later,
            (col(later.queue) == col(LeaseRow.queue))
            & (col(later.sequence) > col(LeaseRow.sequence)),
        )
        .where(col(LeaseRow.state) == LeaseState.LIVE, col(LeaseRow.worker_id).is_(None))
        .group_by(col(LeaseRow.id), col(LeaseRow.queue))
    )
    return [UnclaimedOffer(*row) for row in rows]
