"""Webhook dispatcher with a clock and ticks controlled by a test."""

from tests.scheduler.farm_fixture import FarmFixture, briefs
from tests.servers.process import wait_until
from trackfarm.net.ssrf import EgressPolicy
from trackfarm.protocol.webhooks import DeliveryState, HookEvent
from trackfarm_scheduler.db import webhooks
from trackfarm_scheduler.db.tables_webhooks import DeliveryRow
from trackfarm_scheduler.loops.leader import Leadership
from trackfarm_scheduler.webhooks.dispatcher import WebhookDispatcher
from trackfarm_scheduler.webhooks.http import WebhookSender, derive_secret

SIGNING_SECRET = b"s" * 32
GIVE_UP_SECONDS = 86_400.0
LOOPBACK = EgressPolicy(ports=(), networks=("127.0.0.0/8",))


class WebhookFixture:
    """Webhook dispatcher over a farm fixture, with its clock."""

    def __init__(self, farm: FarmFixture) -> None:
        self.farm = farm
        self.dispatcher = self.new_dispatcher()

    def new_dispatcher(
        self,
        *,
        policy: EgressPolicy = LOOPBACK,
        signing_secret: bytes = SIGNING_SECRET,
        leadership: Leadership | None = None,
    ) -> WebhookDispatcher:
        return WebhookDispatcher(
            database=self.farm.database,
            leadership=leadership or self.farm.leadership,
            sender=WebhookSender(self.farm.objects, policy, self.farm.clock),
            signing_secret=signing_secret,
            give_up_seconds=GIVE_UP_SECONDS,
            clock=self.farm.clock,
            jitter=lambda: 1.0,
        )

    def create_webhook(self, url: str, *events: HookEvent, owner: str = "operator") -> str:
        """Create a webhook; returns its secret."""
        webhook_id = webhooks.make_id()
        secret = derive_secret(SIGNING_SECRET, webhook_id)
        with self.farm.database.write() as session:
            webhooks.create(
                session,
                webhook_id=webhook_id,
                owner=owner,
                url=url,
                events=events or list(HookEvent),
                secret=secret,
                now=self.farm.clock(),
            )
        return secret

    def finish_job(self, tracks: int = 1, **header: str) -> str:
        """Submit and finish a job; returns its id."""
        job_id = self.farm.submit(briefs(tracks, word=header.get("catalog", "x")), **header).job_id
        worker = self.farm.join()
        self.farm.finish(worker, self.farm.lease(worker, job_id))
        assert self.farm.complete(job_id) == "done"
        return job_id

    def tick(self) -> None:
        """Tick once, and wait for all its tasks to end."""
        self.dispatcher.tick()
        wait_until(lambda: not self.dispatcher._busy, timeout_s=20, what="all tasks have ended")

    def states(self) -> dict[str, DeliveryState]:
        return {d.message_id: DeliveryState(d.state) for d in self.farm.rows(DeliveryRow)}
