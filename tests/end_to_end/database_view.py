"""Read-only access to the scheduler's database, for checks."""

from collections.abc import Sequence
from typing import Any, TypeVar

from sqlalchemy import MetaData, create_engine, func, select, text
from sqlalchemy.sql.elements import ColumnElement
from sqlmodel import Session, SQLModel, col

from trackfarm.protocol.operator import TrackState
from trackfarm_scheduler.db.leader_leases import SCHEDULER
from trackfarm_scheduler.db.tables import (
    ArtifactRow,
    AttemptRow,
    JobTrackRow,
    LeaseRow,
    ShardRow,
    TrackRow,
    WorkerRow,
)
from trackfarm_scheduler.db.tables_fleet import LeaderLeaseRow
from trackfarm_scheduler.db.tables_history import EventRow
from trackfarm_scheduler.policy.states import AttemptState, LeaseState

Row = TypeVar("Row", bound=SQLModel)


class DatabaseView:
    """Queries of the database; each call reads the currently committed state."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine(url)

    def close(self) -> None:
        self._engine.dispose()

    def rows(self, table: type[Row], *where: ColumnElement[bool] | bool) -> Sequence[Row]:
        with Session(self._engine) as session:
            return session.scalars(select(table).where(*where)).all()  # type: ignore[arg-type]

    def tracks(self, job_id: str) -> list[TrackRow]:
        """Return the tracks of a job in catalog order."""
        statement = (
            select(TrackRow)
            .join(JobTrackRow, col(JobTrackRow.track_id) == col(TrackRow.id))
            .where(col(JobTrackRow.job_id) == job_id)
            .order_by(col(JobTrackRow.ordinal))
        )
        with Session(self._engine) as session:
            return list(session.scalars(statement))

    def states(self, job_id: str) -> set[str]:
        return {track.state for track in self.tracks(job_id)}

    def done_count(self, job_id: str) -> int:
        return sum(track.state == TrackState.DONE for track in self.tracks(job_id))

    def has_done(self, job_id: str, number: int) -> bool:
        """Return whether at least `number` tracks of a job are done."""
        return self.done_count(job_id) >= number

    def attempts_at(self, track_ids: set[int]) -> Sequence[AttemptRow]:
        return self.rows(AttemptRow, col(AttemptRow.track_id).in_(track_ids))

    def attempts_under(self, lease_ids: set[str]) -> Sequence[AttemptRow]:
        return self.rows(AttemptRow, col(AttemptRow.lease_id).in_(lease_ids))

    def open_track_ids(self, lease_ids: set[str]) -> set[int]:
        """Return the ids of tracks still open under these leases."""
        attempts = self.attempts_under(lease_ids)
        return {attempt.track_id for attempt in attempts if attempt.state == AttemptState.OPEN}

    def live_leases(self, *, worker: str | None = None) -> list[LeaseRow]:
        """Return the live leases, all or only the ones claimed by the worker of this name."""
        leases = self.rows(LeaseRow, col(LeaseRow.state) == LeaseState.LIVE)
        if worker is None:
            return list(leases)
        ids = {w.id for w in self.rows(WorkerRow, col(WorkerRow.name) == worker)}
        return [lease for lease in leases if lease.worker_id in ids]

    def speculative_lease_ids(self) -> set[str]:
        """Return the ids of leases on speculative copies of late shards."""
        shards = [shard.id for shard in self.rows(ShardRow, col(ShardRow.is_speculative).is_(True))]
        return {lease.id for lease in self.rows(LeaseRow, col(LeaseRow.shard_id).in_(shards))}

    def leader(self) -> LeaderLeaseRow:
        (row,) = self.rows(LeaderLeaseRow, col(LeaderLeaseRow.name) == SCHEDULER)
        return row

    def newest_worker(self, name: str) -> WorkerRow:
        workers = self.rows(WorkerRow, col(WorkerRow.name) == name)
        return max(workers, key=lambda worker: worker.joined_at)

    def artifacts(self, job_id: str) -> list[ArtifactRow]:
        ids = {track.id for track in self.tracks(job_id)}
        return list(self.rows(ArtifactRow, col(ArtifactRow.track_id).in_(ids)))

    def event_count(self, kind: str) -> int:
        with Session(self._engine) as session:
            count = session.scalar(select(func.count()).where(col(EventRow.kind) == kind))
        return count or 0

    def writing_connections(self, client_ports: set[int]) -> int:
        """Return how many of these PostgreSQL connections idle in a transaction with writes."""
        statement = text(
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'"
            " AND backend_xid IS NOT NULL AND client_port = ANY(:ports)"
        )
        with self._engine.connect() as connection:
            return int(connection.scalar(statement, {"ports": sorted(client_ports)}) or 0)

    def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return every row of every table except the leader table, which changes all the time."""
        schema = MetaData()
        schema.reflect(self._engine)
        schema.remove(schema.tables[str(LeaderLeaseRow.__tablename__)])
        with self._engine.connect() as connection:
            return {
                table.name: sorted(map(tuple, connection.execute(select(table))), key=repr)
                for table in schema.sorted_tables
            }
