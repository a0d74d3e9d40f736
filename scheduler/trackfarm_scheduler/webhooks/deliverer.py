"""Sends what is in the outbox, each webhook in a thread of its own: one that does not answer keeps
nobody waiting."""

import random
import threading
import time
from collections.abc import Callable, Sequence
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
TAKEN_SECONDS = 900.0  # longer than a round takes; after a crash they are due again
LANES = 64  # webhooks at once
GIVE_UP_SECONDS = 60.0  # between two looks for what is too old
GRACE = 2.0  # seconds that the lanes have to end of themselves, and once more when they are cut
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
        self._busy: dict[str, threading.Thread] = {}
        self._gave_up_at = float("-inf")
        self._stopping = threading.Event()

    def tick(self) -> None:
        """Begins a lane for each webhook that something is due for and that has none, as far as
        there are lanes."""
        if not self._leadership.leads:
            return
        now = self._clock()
        with self._database.read() as session:
            due = outbox.due_hooks(session, now)
        if not due:
            return
        if now - self._gave_up_at >= GIVE_UP_SECONDS and not self._gave_up(now):
            return
        waiting = [webhook_id for webhook_id in due if webhook_id not in self._busy]
        for webhook_id in waiting[: LANES - len(self._busy)]:
            self._begin(webhook_id)

    def close(self) -> None:
        """Ends after what is on its way, or cuts it: a receiver keeps nobody from ending."""
        self._stopping.set()
        self._await_lanes()
        self._sender.close()
        self._await_lanes()

    def _gave_up(self, now: float) -> bool:
        """Gives up what is too old, unless another leads."""
        try:
            with self._database.write() as session:
                self._leadership.require(session)
                outbox.give_up_old(session, since_before=now - self._keep_trying, now=now)
        except NotLeading:
            return False
        self._gave_up_at = now
        return True

    def _begin(self, webhook_id: str) -> None:
        # A daemon, for the end of the process waits for any other thread.
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
            log.exception("webhook_lane_failed", webhook=webhook_id)
        finally:
            del self._busy[webhook_id]

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
