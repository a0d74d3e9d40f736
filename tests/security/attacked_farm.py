"""A farm with TLS on every connection, with hostile and honest workers."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from sqlmodel import col

from tests.security.guarded_farm import GuardedFarm, guarded_farm
from tests.security.stub_workers import StubWorker, StubWorkers
from tests.servers.s3 import S3Access
from tests.servers.tls import HOST, behind_tls, certificates
from trackfarm.catalog import Brief
from trackfarm.net.tls import tls_verify
from trackfarm.protocol.operator import JobHeader
from trackfarm.protocol.worker import ClaimAnswer
from trackfarm_scheduler.db.tables import ArtifactRow, AttemptRow, LeaseRow, WorkerRow
from trackfarm_scheduler.db.tables_access import AuditRow
from trackfarm_scheduler.db.tables_history import EventRow
from trackfarm_scheduler.objects import ObjectStore, open_store
from trackfarm_scheduler.policy.states import AttemptState

TRACKS, TTL = 80, 5.0
RATE = 400  # requests a minute of one worker
MOST_BYTES = 100_000
QUICK = {"URL_TTL_SECONDS": TTL, "SWEEP_MARGIN_SECONDS": 0.5, "SWEEP_SECONDS": 0.25}
QUICK |= {"LOST_AFTER_SECONDS": 8, "HEARTBEAT_SECONDS": 4, "SHARD_SECONDS": 4, "TICK_SECONDS": 0.05}
LIMITS = {"WORKER_RATE": RATE, "MOST_OBJECT_BYTES": MOST_BYTES, "DIGEST_SHARE": 0}


@dataclass(frozen=True)
class AttackedFarm:
    """A farm with a running job.

    `hostile` holds the shard `own_shard`, `honest` holds `other_shard`;
    `silent` holds
    a shard and stopped its heartbeats at `silent_since` (monotonic seconds).
    """

    farm: GuardedFarm
    workers: StubWorkers
    objects: ObjectStore
    job_id: str
    hostile: StubWorker
    honest: StubWorker
    silent: StubWorker
    silent_since: float

    @property
    def own_shard(self) -> ClaimAnswer:
        return self.hostile.shards[0]

    @property
    def other_shard(self) -> ClaimAnswer:
        return self.honest.shards[0]

    def stored(self) -> dict[str, str]:
        return {each.key: each.etag for each in self.objects.list("tracks/")}

    def held(self) -> list[object]:
        """Return the leases and open tracks of the two workers from the database."""
        return [
            (self.lease(each).state, self.farm.database.open_track_ids({each.lease_id}))
            for each in (self.own_shard, self.other_shard)
        ]

    def events(self, kind: str, worker: StubWorker) -> list[str]:
        """Return the data of a worker's events of one kind."""
        where = (col(EventRow.kind) == kind, col(EventRow.worker_id) == worker.id)
        return [event.data for event in self.farm.database.rows(EventRow, *where)]

    def artifacts_of(self, *track_ids: int) -> Sequence[ArtifactRow]:
        return self.farm.database.rows(ArtifactRow, col(ArtifactRow.track_id).in_(track_ids))

    def uncleaned_keys(self, *shards: ClaimAnswer) -> list[str]:
        """Return keys that ended attempts may have written and that the cleaner has not removed.

        With `shards`, only the keys of these shards.
        """
        attempts = self.farm.database.rows(
            AttemptRow,
            col(AttemptRow.state).not_in((AttemptState.OPEN, AttemptState.DONE)),
            col(AttemptRow.url_expires_at).is_not(None),
            col(AttemptRow.object_removed_at).is_(None),
        )
        wanted = {shard.lease_id for shard in shards}
        return [row.object_key for row in attempts if not wanted or row.lease_id in wanted]

    def lease(self, shard: ClaimAnswer) -> LeaseRow:
        (lease,) = self.farm.database.rows(LeaseRow, col(LeaseRow.id) == shard.lease_id)
        return lease

    def audited(self, target: str) -> list[str]:
        """Return the audited actions on a target."""
        return [
            row.action for row in self.farm.database.rows(AuditRow, col(AuditRow.target) == target)
        ]

    def row(self, worker: StubWorker) -> WorkerRow:
        (row,) = self.farm.database.rows(WorkerRow, col(WorkerRow.id) == worker.id)
        return row

    def logged(self, event: str, worker: StubWorker) -> bool:
        return any(
            event in line and worker.id in line for line in self.farm.log.read_text().splitlines()
        )


@contextmanager
def attacked_farm(swift: S3Access, folder: Path) -> Iterator[AttackedFarm]:
    """Run a farm until exit, with TLS to the object store too."""
    files = certificates(folder / "certificates")
    settings = {"OBJECTS_ACCESS_KEY": swift.access_key, "OBJECTS_SECRET_KEY": swift.secret_key}
    with behind_tls(int(swift.endpoint.rpartition(":")[2]), files) as port:
        bucket = f"https://{HOST}:{port}/attacked-{time.time_ns()}"
        settings |= {"OBJECTS_URL": bucket, "OBJECTS_REGION": swift.region}
        settings |= {"CA_FILE": str(files.authority)}
        with (
            guarded_farm(folder, files, **settings, **QUICK, **LIMITS) as farm,
            httpx.Client(verify=tls_verify(files.authority, setting="")) as store,
            StubWorkers(farm, store).running() as workers,
        ):
            objects = open_store(
                bucket,
                access_key=swift.access_key,
                secret_key=swift.secret_key,
                region=swift.region,
                ca_file=files.authority,
            )
            yield _begun(farm, workers, objects)


def _begun(farm: GuardedFarm, workers: StubWorkers, objects: ObjectStore) -> AttackedFarm:
    briefs = [Brief(prompt=f"a quiet sea {n}", duration=10) for n in range(TRACKS)]
    job = farm.client.submit(JobHeader(catalog="attacked", model_set="tiny"), briefs).job
    hostile, honest, silent = (workers.join(name) for name in ("hostile", "honest", "silent"))
    for worker in (hostile, honest, silent):
        worker.claim_next()
    workers.stop_heartbeats(silent)
    honest.put(honest.shards[0].tracks[0])
    return AttackedFarm(farm, workers, objects, job.id, hostile, honest, silent, time.monotonic())
