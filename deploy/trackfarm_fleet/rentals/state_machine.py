"""State machine of a rental: the only module that changes its state. Pure.

    intended ─▶ created ─▶ booting ─▶ joined ─▶ draining ─▶ ending ─▶ ended
        │          └──────────┴──────────┴────────────────────▲         ▲
        └───────────────────────────────────────────────────────────────┘

| from | to | when |
| --- | --- | --- |
| intended | created | the create call returned a machine, or the list has one with our tag |
| intended | ended | the create call was rejected, or no list has shown a machine in time |
| created | booting | the machine is listed |
| booting | joined | its worker has registered |
| joined | draining | its release was requested |
| draining | ending | its worker has left, or the drain timed out |
| created, booting, joined, draining | ending | broken, missing, no heartbeat, timeout, stopped |
| ending | ended | a list requested after the request to end lacks it, or shows it as ended |

A rental is never closed before its machine was observed to be gone: it may still cost money.
"""

from dataclasses import replace

from trackfarm.protocol.fleet import RentalState
from trackfarm_fleet.providers.base import Instance, InstanceState, ProviderError, Unavailable
from trackfarm_fleet.rentals.models import Observation, RentalRecord, Timeouts, is_legal

_S = RentalState
_WITH_WORKER = frozenset({_S.JOINED, _S.DRAINING})


def after_create(rental: RentalRecord, answer: Instance | ProviderError, at: float) -> RentalRecord:
    """Return the rental after the create call. A definite rejection ends it; after a lost response
    it stays intended, and the provider's list decides."""
    if isinstance(answer, Instance):
        return _with_instance(rental, answer, at)
    if isinstance(answer, Unavailable) and answer.may_have_run:
        return replace(rental, reason=answer.detail)
    return _moved(rental, _S.ENDED, at, answer.detail)


def advance(rental: RentalRecord, observation: Observation, timeouts: Timeouts) -> RentalRecord:
    """Return the rental after an observation, advanced by as many states as it justifies."""
    rental = _with_listed_values(rental, observation)
    while (after := _step(rental, observation, timeouts)) is not rental:
        rental = after
    return rental


def is_terminate_due(rental: RentalRecord, at: float, timeouts: Timeouts) -> bool:
    """Return True if a request to end the machine is due now. It is repeated every
    `terminate_retry_seconds`, because a request that succeeded may have had no effect."""
    if rental.state is not _S.ENDING or not rental.provider_id:
        return False
    last = rental.asked_to_end_at
    return last is None or at - last >= timeouts.terminate_retry_seconds


def after_terminate_request(rental: RentalRecord, at: float) -> RentalRecord:
    """Return the rental after a request to end its machine was sent, whatever the response."""
    return replace(rental, asked_to_end_at=at)


def _with_listed_values(rental: RentalRecord, observation: Observation) -> RentalRecord:
    """Store the listed values, whatever follows from them. A closed rental never changes."""
    instance = observation.instance if observation.listed_at is not None else None
    if instance is None or not rental.is_open:
        return rental
    is_stopped = instance.state is InstanceState.STOPPED
    return replace(
        rental,
        seen_at=observation.at,
        stopped_at=(rental.stopped_at or observation.at) if is_stopped else None,
        price_per_hour=rental.price_per_hour if is_stopped else _price(rental, instance),
    )


def _price(rental: RentalRecord, instance: Instance) -> float:
    return instance.price_per_hour or rental.price_per_hour


def _step(rental: RentalRecord, observation: Observation, timeouts: Timeouts) -> RentalRecord:
    """Return the rental after at most one transition; the same object if there is none."""
    match rental.state:
        case _S.INTENDED:
            return _from_intended(rental, observation, timeouts)
        case _S.ENDING if _is_gone(rental, observation, timeouts):
            return _moved(rental, _S.ENDED, observation.at, rental.reason)
        case _S.ENDING | _S.ENDED:
            return rental
    if reason := _end_reason(rental, observation, timeouts):
        return _moved(rental, _S.ENDING, observation.at, reason)
    return _onwards(rental, observation)


def _from_intended(
    rental: RentalRecord, observation: Observation, timeouts: Timeouts
) -> RentalRecord:
    if observation.listed_at is None:
        return rental
    if observation.instance is not None:
        return _with_instance(rental, observation.instance, observation.at)
    if observation.listed_at - rental.intended_at > timeouts.create_timeout_seconds:
        reason = rental.reason or "the machine was never created"
        return _moved(rental, _S.ENDED, observation.at, reason)
    return rental


def _is_gone(rental: RentalRecord, observation: Observation, timeouts: Timeouts) -> bool:
    """Return True if the machine was observed to be gone. A list without it must have been
    requested after the request to end, and a machine that was never listed may still appear."""
    listed_at = observation.listed_at
    if listed_at is None:
        return False
    if observation.instance is not None:
        return observation.instance.state is InstanceState.ENDED
    may_appear = listed_at - rental.intended_at <= timeouts.create_timeout_seconds
    if rental.seen_at is None and may_appear:
        return False
    return rental.asked_to_end_at is not None and listed_at > rental.asked_to_end_at


def _end_reason(rental: RentalRecord, observation: Observation, timeouts: Timeouts) -> str:
    """Return the reason to end a machine that was created; empty for none."""
    return (
        _failure(rental, observation, timeouts)
        or _timeout(rental, observation, timeouts)
        or _departure(rental, observation)
        or ("" if _may_drain(rental, observation) else observation.release_reason)
    )


def _failure(rental: RentalRecord, observation: Observation, timeouts: Timeouts) -> str:
    if observation.listed_at is None:
        return ""
    instance = observation.instance
    if instance is None:
        return _missing(rental, observation.listed_at, timeouts)
    stopped_seconds = observation.at - (rental.stopped_at or observation.at)
    match instance.state:
        case InstanceState.BROKEN:
            return f"its provider reports it as broken: {instance.detail}"
        case InstanceState.ENDED:
            return "its provider has ended it"
        case InstanceState.STOPPED if stopped_seconds > timeouts.stopped_timeout_seconds:
            return f"it was stopped for {timeouts.stopped_timeout_seconds:g} s"
    return ""


def _missing(rental: RentalRecord, listed_at: float, timeouts: Timeouts) -> str:
    if rental.seen_at is None:
        never_listed = listed_at - rental.intended_at > timeouts.create_timeout_seconds
        return "its provider never listed it" if never_listed else ""
    has_vanished = listed_at - rental.seen_at > timeouts.missing_timeout_seconds
    return "it vanished from its provider's list" if has_vanished else ""


def _timeout(rental: RentalRecord, observation: Observation, timeouts: Timeouts) -> str:
    worker = observation.worker
    match rental.state:
        case _S.CREATED | _S.BOOTING:
            limit = timeouts.boot_timeout_seconds
            waited = observation.at - (rental.created_at or rental.since)
            is_late = worker is None and waited > limit
            return f"no worker joined within {limit:g} s" if is_late else ""
        case _S.DRAINING if observation.at - rental.since > timeouts.drain_timeout_seconds:
            return f"it did not drain within {timeouts.drain_timeout_seconds:g} s"
    # A stopped machine sends no heartbeat, and has a timeout of its own.
    limit = timeouts.heartbeat_timeout_seconds
    is_silent = worker is not None and worker.silent_seconds > limit
    if is_silent and rental.stopped_at is None:
        return f"its worker sent no heartbeat for {limit:g} s"
    return ""


def _departure(rental: RentalRecord, observation: Observation) -> str:
    has_left = observation.worker is not None and observation.worker.has_left
    return "its worker has left" if has_left and rental.state in _WITH_WORKER else ""


def _may_drain(rental: RentalRecord, observation: Observation) -> bool:
    """Return True if a worker may have work to finish; on a stopped machine there is none."""
    if rental.stopped_at is not None:
        return False
    return rental.state in _WITH_WORKER or observation.worker is not None


def _onwards(rental: RentalRecord, observation: Observation) -> RentalRecord:
    match rental.state:
        case _S.CREATED if rental.seen_at is not None or observation.worker is not None:
            return _moved(rental, _S.BOOTING, observation.at)
        case _S.BOOTING if observation.worker is not None:
            return replace(_moved(rental, _S.JOINED, observation.at), joined_at=observation.at)
        case _S.JOINED if observation.release_reason:
            return _moved(rental, _S.DRAINING, observation.at, observation.release_reason)
    return rental


def _with_instance(rental: RentalRecord, instance: Instance, at: float) -> RentalRecord:
    return replace(
        _moved(rental, _S.CREATED, at),
        provider_id=instance.id,
        # Billing follows the provider's clock, not ours.
        created_at=instance.created_at or at,
        price_per_hour=_price(rental, instance),
        reason="",
    )


def _moved(rental: RentalRecord, target: RentalState, at: float, reason: str = "") -> RentalRecord:
    assert is_legal(rental.state, target), f"{rental.state} never becomes {target}"
    ended_at = at if target is _S.ENDED else None
    return replace(
        rental, state=target, since=at, ended_at=ended_at, reason=reason or rental.reason
    )
