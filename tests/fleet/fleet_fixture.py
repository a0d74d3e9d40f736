"""A farm, an account at a provider and the machines rented there, with one simulated clock.

The machines know only their environment, speak HTTP to the scheduler, and make tracks while they
run.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from tests.fleet.fakes import runpod as fake_runpod
from tests.fleet.fakes import vast as fake_vast
from tests.fleet.fakes.account import Account, FakeMachine
from tests.scheduler.api_fixture import API_KEY, ApiFixture
from tests.servers.scripted_http import scripted_server
from trackfarm.protocol.fleet import RentalInfo
from trackfarm.protocol.operator import TrackState
from trackfarm_fleet.app import build_reconciler
from trackfarm_fleet.autoscaler.policy import RentalPolicy
from trackfarm_fleet.providers.base import Provider
from trackfarm_fleet.providers.runpod import RunPodProvider
from trackfarm_fleet.providers.vast import VastProvider
from trackfarm_fleet.reconciler import Reconciler, ReconcileResult
from trackfarm_fleet.rentals.tags import Tags
from trackfarm_fleet.scheduler_client import FleetClient
from trackfarm_fleet.settings import FleetSettings
from trackfarm_scheduler.db import workers
from trackfarm_scheduler.db.offers import ShardOffer

SHARD = 8  # tracks made by a machine between two steps
TICK_S = 20.0


@dataclass
class FakeWorker:
    """The worker of a machine: its token, and its current shard."""

    worker_id: str
    token: str
    offer: ShardOffer | None = None


class FleetFixture:
    """The simulation. One step is one tick of the clock, the machines and the fleet."""

    def __init__(
        self, api: ApiFixture, farm: FleetClient, account: Account, provider: Provider, kind: str
    ) -> None:
        self.api, self.scene, self.account = api, api.farm, account
        self.provider = provider
        self.kind = kind
        self.farm = farm
        self.fake_workers: dict[str, FakeWorker] = {}
        self.speed: dict[str, float] = {}
        self.job = ""
        self.fleet = self.new_reconciler()

    def new_reconciler(self, **settings: Any) -> Reconciler:
        options = {"image": "registry.example/worker:1", "lease_seconds": 60, **settings}
        return build_reconciler(
            FleetSettings.model_validate(options),
            self.farm,
            [self.provider],
            tags=Tags(self.farm.fleet_lease().farm),
            now=self.account.clock,
        )

    def step(
        self, policy: RentalPolicy | None = None, *, seconds: float = TICK_S
    ) -> ReconcileResult:
        self.live(seconds)
        return self.fleet.reconcile(policy or RentalPolicy())

    def live(self, seconds: float) -> None:
        """Advance the clock, the machines and the scheduler, without the fleet."""
        self.account.clock.advance(seconds)
        for machine in list(self.account.machines.values()):
            self._live(machine)
        with self.scene.database.write() as session:
            now = self.scene.clock()
            workers.mark_silent_lost(session, silent_since=now - 3 * TICK_S, now=now)

    def _live(self, machine: FakeMachine) -> None:
        fake_worker = self.fake_workers.get(machine.id)
        stopped = machine.ended_at is not None or machine.stopped or machine.broken
        if stopped or self.account.clock.now < machine.boots_at:
            self.fake_workers.pop(machine.id, None)
            return
        fake_worker = fake_worker or self._joined(machine)
        if fake_worker is not None and self._beats(fake_worker):
            self._work(fake_worker)

    def _joined(self, machine: FakeMachine) -> FakeWorker | None:
        hardware = {"gpu": machine.gpu, "memory_mib": 24_564, "model_set": self.kind}
        request = {"name": machine.tag, "nonce": f"nonce of {machine.id}", **hardware}
        token = machine.env.get("TRACKFARM_WORKER_JOIN_TOKEN")
        if token is None:
            return None  # not a machine of this farm
        answer = self.api.post_as_worker("register", token, request)
        if answer.status_code != 200:
            return None
        registration = answer.json()
        self.fake_workers[machine.id] = FakeWorker(registration["worker_id"], registration["token"])
        return self.fake_workers[machine.id]

    def _beats(self, fake_worker: FakeWorker) -> bool:
        """Finish the current shard and send a heartbeat; return False if told to leave."""
        if fake_worker.offer is not None:
            self.scene.finish(self.scene.worker(fake_worker.worker_id), fake_worker.offer)
            fake_worker.offer = None
        answer = self.api.post_as_worker("heartbeat", fake_worker.token)
        if answer.status_code != 200:
            return False
        if any(c["kind"] == "drain" for c in answer.json()["commands"]):
            self.api.post_as_worker("leave", fake_worker.token)
            return False
        return True

    def _work(self, fake_worker: FakeWorker) -> None:
        waiting = self.scene.owned_tracks(self.job, TrackState.PENDING)[:SHARD] if self.job else []
        worker = self.scene.worker(fake_worker.worker_id)
        offer = self.scene.try_offer(worker, self.job, waiting) if waiting else None
        if offer is not None:
            self.scene.claim(worker, offer)
            fake_worker.offer = offer

    def rentals(self) -> list[RentalInfo]:
        return self.farm.rentals(ended_since=0.0)

    def is_done(self) -> bool:
        return not {"pending", "leased"} & self.scene.states(self.job).keys()


@contextmanager
def open_fleet_fixture(name: str, api: ApiFixture, kind: str = "tiny") -> Iterator[FleetFixture]:
    """Yield a fixture with an account at RunPod or Vast."""
    account = Account()
    account.clock = api.farm.clock
    is_runpod = name == "runpod"
    fake = fake_runpod.FakeRunPod(account) if is_runpod else fake_vast.FakeVast(account)
    key = SecretStr(fake_runpod.KEY if is_runpod else fake_vast.KEY)
    make = RunPodProvider if is_runpod else VastProvider
    with (
        scripted_server(fake.reply) as server,
        FleetClient(api.url, API_KEY, retry_seconds=0) as farm,
    ):
        prefix = Tags(farm.fleet_lease().farm).prefix
        clock, sleep = account.clock, account.sleep
        provider = make(key, prefix=prefix, url=server.url, now=clock, sleep=sleep)
        try:
            yield FleetFixture(api, farm, account, provider, kind)
        finally:
            provider.close()
