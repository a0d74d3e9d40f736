"""Retry rules of webhook messages (pure)."""

from dataclasses import dataclass

FIRST_WAIT = 5.0  # seconds; the first wait of the schedule that Standard Webhooks recommends
MAX_WAIT = 3600.0
MAX_PAUSE = 300.0  # bounds the delay after a receiver is back
GONE = 410  # in Standard Webhooks: the receiver wants no more messages


@dataclass(frozen=True, slots=True)
class ReceiverResponse:
    """Response of a receiver. `status` is None when it could not be reached, and `error` says why;
    `retry_after` is the requested delay in seconds."""

    status: int | None
    error: str = ""
    retry_after: float | None = None

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class RetryDelivery:
    """Retry at this time, in seconds since 1970."""

    at: float


@dataclass(frozen=True, slots=True)
class GiveUpDelivery:
    reason: str


def after_failure(
    response: ReceiverResponse,
    *,
    tries: int,
    since: float,
    now: float,
    give_up_seconds: float,
    jitter: float,
) -> RetryDelivery | GiveUpDelivery:
    """Decide on a message after failed try number `tries` (from 1). Retry after 5, 10, 20 …
    seconds, at most an hour, each wait between half and all of that by `jitter` (in [0, 1)), and
    not before the time the receiver asked for; give up when the next try would be more than
    `give_up_seconds` after `since`."""
    if response.status == GONE:
        return GiveUpDelivery("the receiver answered 410 Gone: it wants no more messages")
    wait = min(FIRST_WAIT * 2.0 ** min(tries - 1, 30), MAX_WAIT) * (1 + jitter) / 2
    at = now + max(wait, min(response.retry_after or 0.0, MAX_WAIT))
    if at > since + give_up_seconds:
        return GiveUpDelivery(f"not delivered within {give_up_seconds:.0f} s")
    return RetryDelivery(at)


def pause_after(failures: int, jitter: float) -> float:
    """Return the seconds without any send to a receiver with `failures` consecutive failures: 1, 2,
    4 …, at most five minutes, half to all of it by `jitter`."""
    return min(2.0 ** min(failures - 1, 30), MAX_PAUSE) * (1 + jitter) / 2
