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

Reasons to end a machine. Pure.
"""

from dataclasses import replace

from trackfarm.protocol.fleet import RentalState
from trackfarm_fleet.providers.base import Instance, InstanceState, ProviderError, Unavailable
from trackfarm_fleet.rentals.models import Observation, RentalRecord, Timeouts, is_legal

_S = RentalState
_WITH_WORKER = frozenset({_S.JOINED, _S.DRAINING})


def why_end(rental: RentalRecord, sight: Observation, patience: Timeouts) -> str:
    """Return the reason to end a machine that was created; empty for none."""
    return (
        _seen_to_fail(rental, sight, patience)
        or _too_late(rental, sight, patience)
        or _drained(rental, sight)
        or ("" if _may_drain(rental, sight) or sight.wanted else sight.why)
    )


def _may_drain(rental: RentalRecord, sight: Observation) -> bool:
    """Return True if a worker may have work to finish; on a stopped machine there is none."""
    if rental.stopped_at is not None:
        return False
    return rental.state in _WITH_WORKER or sight.worker is not None


def _seen_to_fail(rental: RentalRecord, sight: Observation, patience: Timeouts) -> str:
    if sight.listed_at is None:
        return ""
    shown = sight.instance
    if shown is None:
        return _missing(rental, sight.listed_at, patience)
    match shown.state:
        case InstanceState.BROKEN:
            return f"its provider reports it as broken: {shown.detail}"
        case InstanceState.ENDED:
            return "its provider has ended it"
        case InstanceState.STOPPED if sight.at - (rental.stopped_at or sight.at) > patience.stopped:
            return f"it was stopped for {patience.stopped:g} s"
    return ""


def _missing(rental: RentalRecord, listed_at: float, patience: Timeouts) -> str:
    if rental.seen_at is None:
        never_listed = listed_at - rental.intended_at > patience.appear
        return "its provider never listed it" if never_listed else ""
    vanished = listed_at - rental.seen_at > patience.vanish
    return "it vanished from its provider's list" if vanished else ""


def _too_late(rental: RentalRecord, sight: Observation, patience: Timeouts) -> str:
    waited = sight.at - rental.since
    match rental.state:
        case _S.CREATED | _S.BOOTING:
            started = rental.created_at or rental.since
            late = sight.worker is None and sight.at - started > patience.boot
            return f"no worker joined within {patience.boot:g} s" if late else ""
        case _S.DRAINING if waited > patience.drain:
            return f"it did not drain within {patience.drain:g} s"
    # A stopped machine sends no heartbeat, and has a timeout of its own.
    silent = sight.worker is not None and sight.worker.silent_seconds > patience.silence
    if silent and rental.stopped_at is None:
        return f"its worker sent no heartbeat for {patience.silence:g} s"
    return ""


def _drained(rental: RentalRecord, sight: Observation) -> str:
    has_left = sight.worker is not None and sight.worker.left
    return "its worker has left" if has_left and rental.state in _WITH_WORKER else ""


def created(rental: RentalRecord, answer: Instance | ProviderError, at: float) -> RentalRecord:
    """Return the rental after the create call. A definite rejection ends it; after a lost response
    it stays intended, and the provider's list decides."""
    if isinstance(answer, Instance):
        return _found(rental, answer, at)
    if isinstance(answer, Unavailable) and answer.maybe_done:
        return replace(rental, reason=answer.detail)
    return _moved(rental, _S.ENDED, at, answer.detail)


def asked_to_end(rental: RentalRecord, at: float) -> RentalRecord:
    """Return the rental after a request to end its machine was sent, whatever the response."""
    return replace(rental, asked_to_end_at=at)


def must_ask_to_end(rental: RentalRecord, at: float, patience: Timeouts) -> bool:
    """Return True if a request to end the machine is due now. It is repeated every `ask_again`
    seconds, because a request that succeeded may have had no effect."""
    if rental.state is not _S.ENDING or not rental.provider_id:
        return False
    asked_at = rental.asked_to_end_at
    return asked_at is None or at - asked_at >= patience.ask_again


def observed(rental: RentalRecord, sight: Observation, patience: Timeouts) -> RentalRecord:
    """Return the rental after an observation, advanced by as many states as it justifies."""
    rental = _noted(rental, sight)
    while (after := _step(rental, sight, patience)) is not rental:
        rental = after
    return rental


def _noted(rental: RentalRecord, sight: Observation) -> RentalRecord:
    """Store the listed values, whatever follows from them. A closed rental never changes."""
    shown = sight.instance if sight.listed_at is not None else None
    if shown is None or not rental.is_open:
        return rental
    stopped = shown.state is InstanceState.STOPPED
    return replace(
        rental,
        seen_at=sight.at,
        stopped_at=(rental.stopped_at or sight.at) if stopped else None,
        price_per_hour=rental.price_per_hour if stopped else _price(rental, shown),
    )


def _price(rental: RentalRecord, shown: Instance) -> float:
    return shown.price_per_hour or rental.price_per_hour


def _step(rental: RentalRecord, sight: Observation, patience: Timeouts) -> RentalRecord:
    """Return the rental after at most one transition; the same object if there is none."""
    match rental.state:
        case _S.INTENDED:
            return _from_intended(rental, sight, patience)
        case _S.ENDING:
            return _from_ending(rental, sight, patience)
        case _S.ENDED:
            return rental
    if reason := why_end(rental, sight, patience):
        return _moved(rental, _S.ENDING, sight.at, reason)
    return _onwards(rental, sight)


def _from_intended(rental: RentalRecord, sight: Observation, patience: Timeouts) -> RentalRecord:
    if sight.listed_at is None:
        return rental
    if sight.instance is not None:
        return _found(rental, sight.instance, sight.at)
    if sight.listed_at - rental.intended_at > patience.appear:
        return _moved(rental, _S.ENDED, sight.at, rental.reason or "the machine was never created")
    return rental


def _from_ending(rental: RentalRecord, sight: Observation, patience: Timeouts) -> RentalRecord:
    if is_over(rental, sight, patience):
        return _moved(rental, _S.ENDED, sight.at, rental.reason)
    return rental


def is_over(rental: RentalRecord, sight: Observation, patience: Timeouts) -> bool:
    """Return True if the machine was observed to be gone. A list without it must have been
    requested after the request to end, and a machine that was never listed may still appear."""
    if sight.listed_at is None:
        return False
    if sight.instance is not None:
        return sight.instance.state is InstanceState.ENDED
    if rental.seen_at is None and sight.listed_at - rental.intended_at <= patience.appear:
        return False
    return rental.asked_to_end_at is not None and sight.listed_at > rental.asked_to_end_at


def _onwards(rental: RentalRecord, sight: Observation) -> RentalRecord:
    match rental.state:
        case _S.CREATED if rental.seen_at is not None or sight.worker is not None:
            return _moved(rental, _S.BOOTING, sight.at)
        case _S.BOOTING if sight.worker is not None:
            return replace(_moved(rental, _S.JOINED, sight.at), joined_at=sight.at)
        case _S.JOINED if not sight.wanted:
            return _moved(rental, _S.DRAINING, sight.at, sight.why)
    return rental


def _found(rental: RentalRecord, instance: Instance, at: float) -> RentalRecord:
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
