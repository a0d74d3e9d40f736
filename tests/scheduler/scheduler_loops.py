"""Loops of one scheduler process without a broker, ticked by the test."""

from tests.scheduler.farm_fixture import LEADER_SECONDS, FarmFixture
from trackfarm_scheduler.broker.client import Broker
from trackfarm_scheduler.loops.artifact_verifier import ArtifactVerifier
from trackfarm_scheduler.loops.completer import JobCompleter
from trackfarm_scheduler.loops.leader import Leadership
from trackfarm_scheduler.loops.orphan_cleaner import OrphanCleaner
from trackfarm_scheduler.loops.placer import Placer
from trackfarm_scheduler.loops.rescuer import Rescuer


class Scheduler:
    """Scheduler with its own leadership; database, objects and clock come from the fixture."""

    def __init__(self, farm: FarmFixture, holder: str) -> None:
        self.leadership = Leadership(
            database=farm.database, holder=holder, lease_seconds=LEADER_SECONDS
        )
        self.broker = Broker("redis://127.0.0.1:1/0")
        shared = {
            "database": farm.database,
            "leadership": self.leadership,
            "clock": farm.clock,
        }
        self.rescuer = Rescuer(
            **shared,  # type: ignore[arg-type]
            broker=self.broker,
            claim_within=5,
            lost_after=12,
            our_lag=lambda: 0.0,
            on_rescue=lambda: None,
        )
        self.placer = Placer(
            **shared,  # type: ignore[arg-type]
            broker=self.broker,
            shard_seconds=4,
            reserved={},
        )
        self.completer = JobCompleter(**shared)  # type: ignore[arg-type]
        self.orphan_cleaner = OrphanCleaner(**shared, objects=farm.objects, margin=60)  # type: ignore[arg-type]
        self.artifact_verifier = ArtifactVerifier(**shared, objects=farm.objects, margin=0)  # type: ignore[arg-type]

    def tick(self) -> None:
        self.rescuer.tick()
        self.completer.tick()
