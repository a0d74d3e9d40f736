"""Webhook dispatcher: sends the outbox, each webhook in its own task, so that an unresponsive
receiver delays no other."""

import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass

import structlog
from anyio import CapacityLimiter, to_thread

from trackfarm.protocol.webhooks import DeliveryState
from trackfarm_scheduler.db import webhook_outbox, webhooks
from trackfarm_scheduler.db.database import Database
from trackfarm_scheduler.db.digests import digest_of
from trackfarm_scheduler.db.leader_leases import NotLeading
from trackfarm_scheduler.db.tables_webhooks import WebhookRow
from trackfarm_scheduler.db.webhook_outbox import DeliveryOutcome, WebhookMessage
from trackfarm_scheduler.loops.leader import Leadership
from trackfarm_scheduler.webhooks.event_loop_thread import EventLoopThread
from trackfarm_scheduler.webhooks.http import WebhookSender, derive_secret
from trackfarm_scheduler.webhooks.retry import (
    GiveUpDelivery,
    ReceiverResponse,
    after_failure,
    pause_after,
)

log = structlog.get_logger(__name__)
BATCH = 20  # messages per transaction; after a crash up to this many repeat, with the same ids
RESERVED_SECONDS = 900.0  # longer than a batch takes; after a crash the messages are due again
MAX_CONCURRENT = 64  # webhooks served at once
DATABASE_THREADS = 4
GIVE_UP_SECONDS = 60.0  # between two checks for old messages
GRACE_SECONDS = 2.0  # for the tasks to end by themselves, and again after they are aborted
_WRONG_SECRET = ReceiverResponse(
    None,
    "the farm's signing secret changed after this webhook was created: delete it, create it again",
)


@dataclass(frozen=True, slots=True)
class _SentBatch:
    """Result of sending some messages. `responses` has at least one entry and ends with the first
    failure; `untried` messages were not sent."""

    responses: list[tuple[WebhookMessage, ReceiverResponse]]
    untried: Sequence[WebhookMessage]

    @property
    def is_success(self) -> bool:
        return self.responses[-1][1].is_success


class WebhookDispatcher:
    """Webhook dispatcher. `give_up_seconds`: time until a message is given up. `jitter()` is
    uniform in [0, 1)."""

    def __init__(
        self,
        *,
        database: Database,
        leadership: Leadership,
        sender: WebhookSender,
        signing_secret: bytes,
        give_up_seconds: float,
        clock: Callable[[], float],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._database = database
        self._leadership = leadership
        self._sender = sender
        self._signing_secret = signing_secret
        self._give_up_seconds = give_up_seconds
        self._clock = clock
        self._jitter = jitter
        self._thread = EventLoopThread("webhook sender")
        self._database_threads = CapacityLimiter(DATABASE_THREADS)
        self._busy: dict[str, Future[None]] = {}
        self._gave_up_at = float("-inf")
        self._stopping = threading.Event()

    def tick(self) -> None:
        """Start a task for each webhook with due messages and no task yet, up to the limit."""
        if not self._leadership.leads:
            return
        now = self._clock()
        with self._database.read() as session:
            due = webhook_outbox.list_due_webhooks(session, now)
        if not due:
            return
        if now - self._gave_up_at >= GIVE_UP_SECONDS and not self._give_up_old(now):
            return
        waiting = [webhook_id for webhook_id in due if webhook_id not in self._busy]
        for webhook_id in waiting[: MAX_CONCURRENT - len(self._busy)]:
            self._start(webhook_id)

    def close(self) -> None:
        """Wait briefly for sends in progress, then abort them: a receiver must not delay the
        shutdown."""
        self._stopping.set()
        if not self._thread.is_running:
            return
        wait(list(self._busy.values()), GRACE_SECONDS)
        closed = self._thread.submit(self._sender.close())
        wait([closed, *self._busy.values()], GRACE_SECONDS)
        self._thread.stop(GRACE_SECONDS)

    def _give_up_old(self, now: float) -> bool:
        """Give up old messages; False when another scheduler leads."""
        try:
            with self._database.write() as session:
                self._leadership.require(session)
                before = now - self._give_up_seconds
                webhook_outbox.give_up_old(session, since_before=before, now=now)
        except NotLeading:
            return False
        self._gave_up_at = now
        return True

    def _start(self, webhook_id: str) -> None:
        task = self._busy[webhook_id] = self._thread.submit(self._serve(webhook_id))
        task.add_done_callback(lambda _: self._busy.pop(webhook_id))

    async def _serve(self, webhook_id: str) -> None:
        """Send all due messages of a webhook, in order."""
        try:
            while not self._stopping.is_set() and await self._send_batch(webhook_id):
                pass
        except NotLeading:
            pass
        except Exception:
            log.exception("webhook_task_failed", webhook=webhook_id)

    async def _send_batch(self, webhook_id: str) -> bool:
        """Send one batch; returns whether more may be ready to send at once."""
        hook, messages = await to_thread.run_sync(
            self._reserve, webhook_id, limiter=self._database_threads
        )
        if hook is None or not messages:
            return False
        batch = await self._send(hook, messages)
        await to_thread.run_sync(self._store, hook, batch, limiter=self._database_threads)
        return batch.is_success

    def _reserve(self, webhook_id: str) -> tuple[WebhookRow | None, Sequence[WebhookMessage]]:
        with self._database.write() as session:
            self._leadership.require(session)
            hook = webhooks.find(session, webhook_id, owner=None)
            now = self._clock()
            until = now + RESERVED_SECONDS
            return hook, webhook_outbox.reserve(
                session, webhook_id, now=now, until=until, limit=BATCH
            )

    async def _send(self, hook: WebhookRow, messages: Sequence[WebhookMessage]) -> _SentBatch:
        secret = derive_secret(self._signing_secret, hook.id)
        is_our_secret = digest_of(secret) == hook.secret_hash
        responses: list[tuple[WebhookMessage, ReceiverResponse]] = []
        for message in messages:
            response = _WRONG_SECRET
            if is_our_secret:
                response = await self._sender.send(hook.url, secret, message)
            responses.append((message, response))
            if not response.is_success or self._stopping.is_set():
                break
        return _SentBatch(responses, messages[len(responses) :])

    def _store(self, hook: WebhookRow, batch: _SentBatch) -> None:
        now = self._clock()
        outcomes = [self._outcome(message, response, now) for message, response in batch.responses]
        previous_failures = hook.failures if len(batch.responses) == 1 else 0
        failures = 0 if batch.is_success else previous_failures + 1
        pause = pause_after(failures, self._jitter()) if failures else 0.0
        with self._database.write() as session:
            webhook_outbox.record_outcomes(session, outcomes, now)
            webhook_outbox.release(session, batch.untried, now)
            if failures or hook.failures:
                webhook_outbox.record_failures(session, hook.id, failures, now + pause)
        for outcome in outcomes:
            if outcome.state is DeliveryState.GIVEN_UP:
                log.warning("webhook_given_up", webhook=hook.id, error=outcome.error)

    def _outcome(
        self, message: WebhookMessage, response: ReceiverResponse, now: float
    ) -> DeliveryOutcome:
        if response.is_success:
            state = DeliveryState.DELIVERED
            return DeliveryOutcome(message.row_id, state, now, response.status, "")
        decision = after_failure(
            response,
            tries=message.tries + 1,
            since=message.since,
            now=now,
            give_up_seconds=self._give_up_seconds,
            jitter=self._jitter(),
        )
        if isinstance(decision, GiveUpDelivery):
            error = f"{response.error}; {decision.reason}"
            state = DeliveryState.GIVEN_UP
            return DeliveryOutcome(message.row_id, state, now, response.status, error)
        state = DeliveryState.PENDING
        return DeliveryOutcome(message.row_id, state, decision.at, response.status, response.error)
