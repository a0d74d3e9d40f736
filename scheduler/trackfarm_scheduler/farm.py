"""Services available to the routes: one record of everything the composition root builds."""

from collections.abc import Callable
from dataclasses import dataclass, field

from anyio import CapacityLimiter

from trackfarm.planning import Prices
from trackfarm.wire import Intervals
from trackfarm_scheduler.broker import Broker
from trackfarm_scheduler.broker_users import BrokerUsers
from trackfarm_scheduler.leadership import Leadership
from trackfarm_scheduler.leases import heartbeat_interval
from trackfarm_scheduler.loops import Loop
from trackfarm_scheduler.objects.port import ObjectStore
from trackfarm_scheduler.promptness import Promptness
from trackfarm_scheduler.recorder import Recorder
from trackfarm_scheduler.settings import SchedulerSettings
from trackfarm_scheduler.store.database import Database
from trackfarm_scheduler.store.demand import Demands


@dataclass(frozen=True, slots=True)
class Farm:
    """Record of all services. `users` is None where workers share the farm's own broker
    credentials; `wire_threads` serve requests from workers."""

    settings: SchedulerSettings
    database: Database
    objects: ObjectStore
    broker: Broker
    users: BrokerUsers | None
    recorder: Recorder
    leadership: Leadership
    placing: Loop
    settling: Loop
    prices: Prices
    promptness: Promptness
    wire_threads: CapacityLimiter
    clock: Callable[[], float]
    demands: Demands = field(default_factory=Demands)

    def broker_url_for(self, worker_id: str, password: str) -> str:
        if self.users is not None:
            return self.users.url_for(worker_id, password)
        return self.settings.broker_external_url or self.settings.broker_url.get_secret_value()

    def intervals(self, live_workers: int) -> Intervals:
        return Intervals(
            heartbeat=heartbeat_interval(live_workers, slowest=self.settings.heartbeat_seconds),
            lost_after=self.settings.lost_after_seconds,
        )
