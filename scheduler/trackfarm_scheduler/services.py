"""Services available to the routes: one record of everything the composition root builds."""

from collections.abc import Callable
from dataclasses import dataclass, field

from anyio import CapacityLimiter

from trackfarm.planning import Prices
from trackfarm.protocol.worker import Intervals
from trackfarm_scheduler.broker.client import Broker
from trackfarm_scheduler.broker.users import BrokerUsers
from trackfarm_scheduler.db.database import Database
from trackfarm_scheduler.db.fleet_state import DemandCache
from trackfarm_scheduler.loop import Loop
from trackfarm_scheduler.loops.lag_monitor import LagMonitor
from trackfarm_scheduler.loops.leader import Leadership
from trackfarm_scheduler.objects.base import ObjectStore
from trackfarm_scheduler.policy.leases import heartbeat_interval
from trackfarm_scheduler.results.recorder import Recorder
from trackfarm_scheduler.settings import SchedulerSettings


@dataclass(frozen=True, slots=True)
class Services:
    """Record of all services. `users` is None where workers share the farm's own broker
    credentials; `wire_threads` serve requests from workers."""

    settings: SchedulerSettings
    database: Database
    objects: ObjectStore
    broker: Broker
    users: BrokerUsers | None
    recorder: Recorder
    leadership: Leadership
    placer_loop: Loop
    completer_loop: Loop
    prices: Prices
    lag_monitor: LagMonitor
    worker_threads: CapacityLimiter
    clock: Callable[[], float]
    demand_cache: DemandCache = field(default_factory=DemandCache)

    def broker_url_for(self, worker_id: str, password: str) -> str:
        if self.users is not None:
            return self.users.url_for(worker_id, password)
        return self.settings.broker_external_url or self.settings.broker_url.get_secret_value()

    def intervals(self, live_workers: int) -> Intervals:
        return Intervals(
            heartbeat=heartbeat_interval(live_workers, slowest=self.settings.heartbeat_seconds),
            lost_after=self.settings.lost_after_seconds,
        )
