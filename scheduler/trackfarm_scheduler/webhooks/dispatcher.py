"""Webhook dispatcher: sends the outbox, each webhook in its own thread, so that an unresponsive
receiver delays no other."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from trackfarm.protocol.webhooks import DeliveryState
from trackfarm_scheduler.db import webhook_outbox, webhooks
from trackfarm_scheduler.db.database import Database
from trackfarm_scheduler.db.leader_leases import NotLeading
from trackfarm_scheduler.db.tables_webhooks import WebhookRow
from trackfarm_scheduler.db.webhook_outbox import DeliveryOutcome, WebhookMessage
from trackfarm_scheduler.loops.leader import Leadership
from trackfarm_scheduler.webhooks.http import Sender, derived_secret
from trackfarm_scheduler.webhooks.retry import Answer, GiveUpDelivery, after_failure, pause_after

log = structlog.get_logger(__name__)
ROUND = 20  # messages per transaction; after a crash up to this many repeat, with the same ids
TAKEN_SECONDS = 900.0  # longer than a round takes; after a crash the messages are due again
LANES = 64  # maximum number of webhooks served at once
GIVE_UP_SECONDS = 60.0  # between two checks for old messages
GRACE = 2.0  # seconds for the threads to end by themselves, and again after they are aborted
_NOT_SENT = Answer(
    None,
    "the farm's signing secret changed after this webhook was created: delete it, create it again",
)


@dataclass(frozen=True, slots=True)
class _DispatchRound:
    """Result of sending some messages. `answers` has at least one entry and ends with the first
    failure; `left` was not tried."""

    answers: list[tuple[WebhookMessage, Answer]]
    left: Sequence[WebhookMessage]

    @property
    def is_good(self) -> bool:
        return self.answers[-1][1].is_good


class WebhookDispatcher:
    """Webhook dispatcher. `keep_trying`: seconds until a message is given up. `chance` is uniform
    in [0, 1)."""

    def __init__(
        self,
        *,
        database: Database,
        leadership: Leadership,
        sender: Sender,
        signing_secret: bytes,
        keep_trying: float,
        clock: Callable[[], float],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._database = database
        self._leadership = leadership
        self._sender = sender
        self._signing_secret = signing_secret
        self._keep_trying = keep_trying
        self._clock = clock
        self._chance = chance
        self._busy: dict[str, threading.Thread] = {}
        self._gave_up_at = float("-inf")
        self._stopping = threading.Event()

    def tick(self) -> None:
        """Start a thread for each webhook with due messages and no thread yet, up to the limit of
        threads."""
        if not self._leadership.leads:
            return
        now = self._clock()
        with self._database.read() as session:
            due = webhook_outbox.due_hooks(session, now)
        if not due:
            return
        if now - self._gave_up_at >= GIVE_UP_SECONDS and not self._gave_up(now):
            return
        waiting = [webhook_id for webhook_id in due if webhook_id not in self._busy]
        for webhook_id in waiting[: LANES - len(self._busy)]:
            self._begin(webhook_id)

    def close(self) -> None:
        """Wait briefly for sends in progress, then abort them: a receiver must not delay the
        shutdown."""
        self._stopping.set()
        self._await_lanes()
        self._sender.close()
        self._await_lanes()

    def _gave_up(self, now: float) -> bool:
        """Give up old messages; False when another scheduler leads."""
        try:
            with self._database.write() as session:
                self._leadership.require(session)
                webhook_outbox.give_up_old(session, since_before=now - self._keep_trying, now=now)
        except NotLeading:
            return False
        self._gave_up_at = now
        return True

    def _begin(self, webhook_id: str) -> None:
        # A daemon thread: the end of the process would wait for any other.
        lane = threading.Thread(
            target=self._lane, args=[webhook_id], name=f"webhook {webhook_id}", daemon=True
        )
        self._busy[webhook_id] = lane
        lane.start()

    def _await_lanes(self) -> None:
        until = time.monotonic() + GRACE
        for lane in list(self._busy.values()):
            lane.join(max(0.0, until - time.monotonic()))

    def _lane(self, webhook_id: str) -> None:
        try:
            while not self._stopping.is_set() and self._round(webhook_id):
                pass
        except NotLeading:
            pass
        except Exception:
            log.exception("webhook_thread_failed", webhook=webhook_id)
        finally:
            del self._busy[webhook_id]

    def _round(self, webhook_id: str) -> bool:
        """Send one batch; returns whether more may be ready to send at once."""
        with self._database.write() as session:
            self._leadership.require(session)
            hook = webhooks.find(session, webhook_id, owner=None)
            now = self._clock()
            until = now + TAKEN_SECONDS
            messages = webhook_outbox.take(session, webhook_id, now=now, until=until, limit=ROUND)
        if hook is None or not messages:
            return False
        result = self._send(hook, messages)
        self._note(hook, result)
        return result.is_good

    def _send(self, hook: WebhookRow, messages: Sequence[WebhookMessage]) -> _DispatchRound:
        secret = derived_secret(self._signing_secret, hook.id)
        secret_matches = webhooks.digest_of(secret) == hook.secret_hash
        answers: list[tuple[WebhookMessage, Answer]] = []
        for message in messages:
            answer = self._sender.send(hook.url, secret, message) if secret_matches else _NOT_SENT
            answers.append((message, answer))
            if not answer.is_good or self._stopping.is_set():
                break
        return _DispatchRound(answers, messages[len(answers) :])

    def _note(self, hook: WebhookRow, done: _DispatchRound) -> None:
        now = self._clock()
        outcomes = [self._outcome(message, answer, now) for message, answer in done.answers]
        previous_failures = hook.failures if len(done.answers) == 1 else 0
        failures = 0 if done.is_good else previous_failures + 1
        pause = pause_after(failures, self._chance()) if failures else 0.0
        with self._database.write() as session:
            webhook_outbox.note(session, outcomes, now)
            webhook_outbox.put_back(session, done.left, now)
            if failures or hook.failures:
                webhook_outbox.note_failures(session, hook.id, failures, now + pause)
        for outcome in outcomes:
            if outcome.state is DeliveryState.GIVEN_UP:
                log.warning("webhook_given_up", webhook=hook.id, error=outcome.error)

    def _outcome(self, message: WebhookMessage, answer: Answer, now: float) -> DeliveryOutcome:
        if answer.is_good:
            return DeliveryOutcome(message.row_id, DeliveryState.DELIVERED, now, answer.status, "")
        decision = after_failure(
            answer,
            tries=message.tries + 1,
            since=message.since,
            now=now,
            keep_trying=self._keep_trying,
            chance=self._chance(),
        )
        if isinstance(decision, GiveUpDelivery):
            error = f"{answer.error}; {decision.reason}"
            return DeliveryOutcome(
                message.row_id, DeliveryState.GIVEN_UP, now, answer.status, error
            )
        return DeliveryOutcome(
            message.row_id, DeliveryState.PENDING, decision.at, answer.status, answer.error
        )
