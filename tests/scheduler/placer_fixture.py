"""Placer and rescuer ticked by the test, over a real Redis."""

import base64
import json
from collections.abc import Mapping

from redis import Redis
from sqlmodel import col

from tests.scheduler.farm_fixture import FarmFixture
from tests.servers.redis import RedisServer
from trackfarm.broker import SHARD_TASK
from trackfarm_scheduler.broker.client import Broker
from trackfarm_scheduler.db.offers import ShardOffer
from trackfarm_scheduler.db.tables import LeaseRow, WorkerRow
from trackfarm_scheduler.loops.leader import Leadership
from trackfarm_scheduler.loops.placer import Placer
from trackfarm_scheduler.loops.rescuer import Rescuer

CLAIM_WITHIN, LOST_AFTER = 5.0, 12.0


class PlacerFixture:
    """Placer and rescuer over one farm fixture and one Redis."""

    def __init__(self, farm: FarmFixture, server: RedisServer) -> None:
        self.farm = farm
        self.server = server
        self.broker = Broker(server.url)
        self.redis = Redis.from_url(server.url)
        self.rescues = 0
        self.lag = 0.0
        self.placer = self.new_placer(farm.leadership)
        self.rescuer = self.new_rescuer(farm.leadership)

    def new_placer(
        self, leadership: Leadership, *, reserved: Mapping[str, int] | None = None
    ) -> Placer:
        return Placer(
            database=self.farm.database,
            broker=self.broker,
            leadership=leadership,
            clock=self.farm.clock,
            shard_seconds=60,
            reserved=reserved or {},
        )

    def new_rescuer(self, leadership: Leadership) -> Rescuer:
        return Rescuer(
            database=self.farm.database,
            broker=self.broker,
            leadership=leadership,
            clock=self.farm.clock,
            claim_within=CLAIM_WITHIN,
            lost_after=LOST_AFTER,
            our_lag=lambda: self.lag,
            on_rescue=self._rescued,
        )

    def _rescued(self) -> None:
        self.rescues += 1

    def close(self) -> None:
        self.broker.close()
        self.redis.close()

    def take(self, worker: WorkerRow) -> ShardOffer:
        """Take the oldest message, as a worker would."""
        message = json.loads(self.redis.rpop(worker.queue))  # type: ignore[arg-type]
        assert message["headers"]["task"] == SHARD_TASK
        args, _, _ = json.loads(base64.b64decode(message["body"]))
        return ShardOffer(worker.queue, *args)

    def claim_next(self, worker: WorkerRow) -> ShardOffer:
        offer = self.take(worker)
        self.farm.claim(worker, offer)
        return offer

    def live(self) -> list[LeaseRow]:
        leases = self.farm.rows(LeaseRow, col(LeaseRow.state) == "live")
        return sorted(leases, key=lambda lease: (lease.offered_at, lease.queue, lease.sequence))

    def reasons(self) -> list[str]:
        return sorted(
            r.end_reason for r in self.farm.rows(LeaseRow, col(LeaseRow.state) == "ended")
        )

    def pass_time(self, seconds: float, *alive: WorkerRow) -> None:
        """Let time pass with a tick of the rescuer each second, and heartbeats of the `alive`
        workers."""
        for _ in range(int(seconds)):
            self.farm.clock.advance(1)
            for worker in alive:
                self.farm.heartbeat(worker)
            self.rescuer.tick()
