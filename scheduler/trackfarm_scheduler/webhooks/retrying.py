"""When a message is tried again and when it is given up (pure)."""

from dataclasses import dataclass

FIRST_WAIT = 5.0  # seconds; the first wait of the schedule that Standard Webhooks recommends
LONGEST_WAIT = 3600.0
LONGEST_PAUSE = 300.0  # a receiver that is back hears of it within as long
GONE = 410  # by which a receiver says, in Standard Webhooks, that it wants no more


@dataclass(frozen=True, slots=True)
class Answer:
    """Of a receiver. `status` is None when it could not be reached, and `error` says why;
    `retry_after` is what it asked for, in seconds."""

    status: int | None
    error: str = ""
    retry_after: float | None = None

    @property
    def is_good(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Again:
    """At this time, in seconds since 1970."""

    at: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    reason: str


def after_failure(
    answer: Answer, *, tries: int, since: float, now: float, keep_trying: float, chance: float
) -> Again | GiveUp:
    """What becomes of a message after its try number `tries` (from 1) has failed. It is tried again
    after 5, 10, 20 … seconds, at most an hour, each wait between half and all of that by `chance`
    (in [0, 1)), and not sooner than the receiver asked for; it is given up when the next try would be
    more than `keep_trying` seconds after `since`."""
    if answer.status == GONE:
        return GiveUp("the receiver answered 410: it wants no more")
    wait = min(FIRST_WAIT * 2.0 ** min(tries - 1, 30), LONGEST_WAIT) * (1 + chance) / 2
    at = now + max(wait, min(answer.retry_after or 0.0, LONGEST_WAIT))
    if at > since + keep_trying:
        return GiveUp(f"not delivered within {keep_trying:.0f} s")
    return Again(at)


def pause_after(failures: int, chance: float) -> float:
    """Seconds for which nothing is sent to a receiver that has failed so often in a row: 1, 2, 4 …,
    at most five minutes, half to all of it."""
    return min(2.0 ** min(failures - 1, 30), LONGEST_PAUSE) * (1 + chance) / 2
