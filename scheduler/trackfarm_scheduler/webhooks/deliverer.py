"""Sends what is in the outbox, each webhook in a thread of its own: one that does not answer keeps
nobody waiting."""

import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import structlog

from trackfarm.webhooks import DeliveryState
from trackfarm_scheduler.leadership import Leadership, NotLeading
from trackfarm_scheduler.store import outbox, webhooks
from trackfarm_scheduler.store.database import Database
from trackfarm_scheduler.store.outbox import Message, Outcome
from trackfarm_scheduler.store.webhook_tables import WebhookRow
from trackfarm_scheduler.webhooks.retrying import Answer, GiveUp, after_failure, pause_after
from trackfarm_scheduler.webhooks.sending import Sender, derived_secret

log = structlog.get_logger(__name__)
ROUND = 20  # messages between two transactions; a crash sends so many again, under the same ids
TAKEN_SECONDS = 300.0  # longer than a round takes; after a crash they are due again
LANES = 64  # webhooks at once
_NOT_SENT = Answer(
    None,
    "the farm's signing secret is another than when this webhook was made: remove it, make it anew",
)


@dataclass(frozen=True, slots=True)
class _Round:
    """What came of some messages. `answers` has one at least, and ends with the first failure;
    `left` was not tried."""

    answers: list[tuple[Message, Answer]]
    left: Sequence[Message]

    @property
    def is_good(self) -> bool:
        return self.answers[-1][1].is_good


class Deliverer:
    """`keep_trying`: seconds after which a message is given up. `chance` is uniform in [0, 1)."""

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
        self._busy: set[str] = set()
        self._stopping = threading.Event()
        self._lanes = ThreadPoolExecutor(LANES, thread_name_prefix="webhook")

    def tick(self) -> None:
        """Begins a lane for each webhook that something is due for and that has none."""
        if not self._leadership.leads:
            return
        now = self._clock()
        with self._database.read() as session:
            due = outbox.due_hooks(session, now)
        if not due:
            return
        try:
            with self._database.write() as session:
                self._leadership.require(session)
                outbox.give_up_old(session, since_before=now - self._keep_trying, now=now)
        except NotLeading:
            return
        for webhook_id in set(due) - self._busy:
            self._busy.add(webhook_id)
            self._lanes.submit(self._lane, webhook_id)

    def close(self) -> None:
        """Ends after what is on its way."""
        self._stopping.set()
        self._lanes.shutdown(cancel_futures=True)
        self._sender.close()

    def _lane(self, webhook_id: str) -> None:
        try:
            while not self._stopping.is_set() and self._round(webhook_id):
                pass
        except NotLeading:
            pass
        except Exception:
            log.exception("webhook_lane_failed", webhook=webhook_id)
        finally:
            self._busy.discard(webhook_id)

    def _round(self, webhook_id: str) -> bool:
        """Whether there may be more to send at once."""
        with self._database.write() as session:
            self._leadership.require(session)
            hook = webhooks.find(session, webhook_id, owner=None)
            now = self._clock()
            until = now + TAKEN_SECONDS
            taken = outbox.take(session, webhook_id, now=now, until=until, limit=ROUND)
        if hook is None or not taken:
            return False
        done = self._send(hook, taken)
        self._note(hook, done)
        return done.is_good

    def _send(self, hook: WebhookRow, messages: Sequence[Message]) -> _Round:
        secret = derived_secret(self._signing_secret, hook.id)
        is_same = webhooks.digest_of(secret) == hook.secret_hash
        answers: list[tuple[Message, Answer]] = []
        for message in messages:
            answer = self._sender.send(hook.url, secret, message) if is_same else _NOT_SENT
            answers.append((message, answer))
            if not answer.is_good or self._stopping.is_set():
                break
        return _Round(answers, messages[len(answers) :])

    def _note(self, hook: WebhookRow, done: _Round) -> None:
        now = self._clock()
        outcomes = [self._outcome(message, answer, now) for message, answer in done.answers]
        before = hook.failures if len(done.answers) == 1 else 0
        failures = 0 if done.is_good else before + 1
        pause = pause_after(failures, self._chance()) if failures else 0.0
        with self._database.write() as session:
            outbox.note(session, outcomes, now)
            outbox.put_back(session, done.left, now)
            if failures or hook.failures:
                outbox.note_failures(session, hook.id, failures, now + pause)
        for outcome in outcomes:
            if outcome.state is DeliveryState.GIVEN_UP:
                log.warning("webhook_given_up", webhook=hook.id, error=outcome.error)

    def _outcome(self, message: Message, answer: Answer, now: float) -> Outcome:
        if answer.is_good:
            return Outcome(message.row_id, DeliveryState.DELIVERED, now, answer.status, "")
        decided = after_failure(
            answer,
            tries=message.tries + 1,
            since=message.since,
            now=now,
            keep_trying=self._keep_trying,
            chance=self._chance(),
        )
        if isinstance(decided, GiveUp):
            error = f"{answer.error}; {decided.reason}"
            return Outcome(message.row_id, DeliveryState.GIVEN_UP, now, answer.status, error)
        return Outcome(
            message.row_id, DeliveryState.PENDING, decided.at, answer.status, answer.error
        )
