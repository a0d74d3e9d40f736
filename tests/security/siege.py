"""A farm with TLS on every connection, with hostile and honest workers."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from sqlmodel import col

from tests.security.crew import Crew, Member
from tests.security.guarded_farm import GuardedFarm, guarded_farm
from tests.servers.s3 import S3Access
from tests.servers.tls import HOST, behind_tls, certificates
from trackfarm.api import JobHeader
from trackfarm.catalog import Brief
from trackfarm.trust import verification
from trackfarm.wire import ClaimAnswer
from trackfarm_scheduler.machines import AttemptState
from trackfarm_scheduler.objects import ObjectStore, open_store
from trackfarm_scheduler.store.access_tables import Audit
from trackfarm_scheduler.store.tables import Artifact, Attempt, Event, Lease, Worker

TRACKS, TTL = 80, 5.0
RATE = 400  # requests a minute of one worker
MOST_BYTES = 100_000
QUICK = {"URL_TTL_SECONDS": TTL, "SWEEP_MARGIN_SECONDS": 0.5, "SWEEP_SECONDS": 0.25}
QUICK |= {"LOST_AFTER_SECONDS": 8, "HEARTBEAT_SECONDS": 4, "SHARD_SECONDS": 4, "TICK_SECONDS": 0.05}
LIMITS = {"WORKER_RATE": RATE, "MOST_OBJECT_BYTES": MOST_BYTES, "DIGEST_SHARE": 0}


@dataclass(frozen=True)
class Siege:
    """A farm with a running job.

    `hostile` holds the shard `own`, `honest` holds `theirs`; `mute` holds a shard and stopped its
    heartbeats at `began` (monotonic seconds).
    """

    farm: GuardedFarm
    crew: Crew
    objects: ObjectStore
    job_id: str
    hostile: Member
    honest: Member
    mute: Member
    began: float

    @property
    def own(self) -> ClaimAnswer:
        return self.hostile.shards[0]

    @property
    def theirs(self) -> ClaimAnswer:
        return self.honest.shards[0]

    def stored(self) -> dict[str, str]:
        return {each.key: each.etag for each in self.objects.list("tracks/")}

    def held(self) -> list[object]:
        """Return the leases and open tracks of the two workers from the database."""
        return [
            (self.lease(each).state, self.farm.ledger.open_under({each.lease_id}))
            for each in (self.own, self.theirs)
        ]

    def events(self, kind: str, member: Member) -> list[str]:
        """Return the data of a worker's events of one kind."""
        where = (col(Event.kind) == kind, col(Event.worker_id) == member.id)
        return [event.data for event in self.farm.ledger.rows(Event, *where)]

    def artifacts_of(self, *track_ids: int) -> Sequence[Artifact]:
        return self.farm.ledger.rows(Artifact, col(Artifact.track_id).in_(track_ids))

    def unswept(self, *shards: ClaimAnswer) -> list[str]:
        """Return keys that ended attempts may have written and that the cleaner has not removed.

        With `shards`, only the keys of these shards.
        """
        attempts = self.farm.ledger.rows(
            Attempt,
            col(Attempt.state).not_in((AttemptState.OPEN, AttemptState.DONE)),
            col(Attempt.url_expires_at).is_not(None),
            col(Attempt.swept_at).is_(None),
        )
        wanted = {shard.lease_id for shard in shards}
        return [row.object_key for row in attempts if not wanted or row.lease_id in wanted]

    def lease(self, shard: ClaimAnswer) -> Lease:
        (lease,) = self.farm.ledger.rows(Lease, col(Lease.id) == shard.lease_id)
        return lease

    def audited(self, target: str) -> list[str]:
        """Return the audited actions on a target."""
        return [row.action for row in self.farm.ledger.rows(Audit, col(Audit.target) == target)]

    def row(self, member: Member) -> Worker:
        (worker,) = self.farm.ledger.rows(Worker, col(Worker.id) == member.id)
        return worker

    def logged(self, event: str, member: Member) -> bool:
        return any(
            event in line and member.id in line for line in self.farm.log.read_text().splitlines()
        )


@contextmanager
def laid(swift: S3Access, folder: Path) -> Iterator[Siege]:
    """Run a farm until exit, with TLS to the object store too."""
    files = certificates(folder / "certificates")
    settings = {"OBJECTS_ACCESS_KEY": swift.access_key, "OBJECTS_SECRET_KEY": swift.secret_key}
    with behind_tls(int(swift.endpoint.rpartition(":")[2]), files) as port:
        bucket = f"https://{HOST}:{port}/siege-{time.time_ns()}"
        settings |= {"OBJECTS_URL": bucket, "OBJECTS_REGION": swift.region}
        settings |= {"CA_FILE": str(files.authority)}
        with (
            guarded_farm(folder, files, **settings, **QUICK, **LIMITS) as farm,
            httpx.Client(verify=verification(files.authority, setting="")) as store,
            Crew(farm, store).living() as crew,
        ):
            objects = open_store(
                bucket,
                access_key=swift.access_key,
                secret_key=swift.secret_key,
                region=swift.region,
                ca_file=files.authority,
            )
            yield _begun(farm, crew, objects)


def _begun(farm: GuardedFarm, crew: Crew, objects: ObjectStore) -> Siege:
    briefs = [Brief(prompt=f"a quiet sea {n}", duration=10) for n in range(TRACKS)]
    job = farm.client.submit(JobHeader(catalog="siege"), briefs).job
    hostile, honest, mute = (crew.join(name) for name in ("hostile", "honest", "mute"))
    for member in (hostile, honest, mute):
        member.take()
    crew.silence(mute)
    honest.put(honest.shards[0].tracks[0])
    return Siege(farm, crew, objects, job.id, hostile, honest, mute, time.monotonic())
