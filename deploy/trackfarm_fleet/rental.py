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

from trackfarm.rentals import RentalState
from trackfarm_fleet.endings import why_end
from trackfarm_fleet.providers.port import Instance, Observed, Trouble, Unavailable
from trackfarm_fleet.rental_records import Patience, Rental, Sight, is_legal

_S = RentalState


def created(rental: Rental, answer: Instance | Trouble, at: float) -> Rental:
    """Return the rental after the create call. A definite rejection ends it; after a lost response
    it stays intended, and the provider's list decides."""
    if isinstance(answer, Instance):
        return _found(rental, answer, at)
    if isinstance(answer, Unavailable) and answer.maybe_done:
        return replace(rental, reason=answer.detail)
    return _moved(rental, _S.ENDED, at, answer.detail)


def asked_to_end(rental: Rental, at: float) -> Rental:
    """Return the rental after a request to end its machine was sent, whatever the response."""
    return replace(rental, asked_to_end_at=at)


def must_ask_to_end(rental: Rental, at: float, patience: Patience) -> bool:
    """Return True if a request to end the machine is due now. It is repeated every `ask_again`
    seconds, because a request that succeeded may have had no effect."""
    if rental.state is not _S.ENDING or not rental.provider_id:
        return False
    asked_at = rental.asked_to_end_at
    return asked_at is None or at - asked_at >= patience.ask_again


def observed(rental: Rental, sight: Sight, patience: Patience) -> Rental:
    """Return the rental after an observation, advanced by as many states as it justifies."""
    rental = _noted(rental, sight)
    while (after := _step(rental, sight, patience)) is not rental:
        rental = after
    return rental


def _noted(rental: Rental, sight: Sight) -> Rental:
    """Store the listed values, whatever follows from them. A closed rental never changes."""
    shown = sight.instance if sight.listed_at is not None else None
    if shown is None or not rental.is_open:
        return rental
    stopped = shown.state is Observed.STOPPED
    return replace(
        rental,
        seen_at=sight.at,
        stopped_at=(rental.stopped_at or sight.at) if stopped else None,
        price_per_hour=rental.price_per_hour if stopped else _price(rental, shown),
    )


def _price(rental: Rental, shown: Instance) -> float:
    return shown.price_per_hour or rental.price_per_hour


def _step(rental: Rental, sight: Sight, patience: Patience) -> Rental:
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


def _from_intended(rental: Rental, sight: Sight, patience: Patience) -> Rental:
    if sight.listed_at is None:
        return rental
    if sight.instance is not None:
        return _found(rental, sight.instance, sight.at)
    if sight.listed_at - rental.intended_at > patience.appear:
        return _moved(rental, _S.ENDED, sight.at, rental.reason or "the machine was never created")
    return rental


def _from_ending(rental: Rental, sight: Sight, patience: Patience) -> Rental:
    if is_over(rental, sight, patience):
        return _moved(rental, _S.ENDED, sight.at, rental.reason)
    return rental


def is_over(rental: Rental, sight: Sight, patience: Patience) -> bool:
    """Return True if the machine was observed to be gone. A list without it must have been
    requested after the request to end, and a machine that was never listed may still appear."""
    if sight.listed_at is None:
        return False
    if sight.instance is not None:
        return sight.instance.state is Observed.ENDED
    if rental.seen_at is None and sight.listed_at - rental.intended_at <= patience.appear:
        return False
    return rental.asked_to_end_at is not None and sight.listed_at > rental.asked_to_end_at


def _onwards(rental: Rental, sight: Sight) -> Rental:
    match rental.state:
        case _S.CREATED if rental.seen_at is not None or sight.worker is not None:
            return _moved(rental, _S.BOOTING, sight.at)
        case _S.BOOTING if sight.worker is not None:
            return replace(_moved(rental, _S.JOINED, sight.at), joined_at=sight.at)
        case _S.JOINED if not sight.wanted:
            return _moved(rental, _S.DRAINING, sight.at, sight.why)
    return rental


def _found(rental: Rental, instance: Instance, at: float) -> Rental:
    return replace(
        _moved(rental, _S.CREATED, at),
        provider_id=instance.id,
        # Billing follows the provider's clock, not ours.
        created_at=instance.created_at or at,
        price_per_hour=_price(rental, instance),
        reason="",
    )


def _moved(rental: Rental, target: RentalState, at: float, reason: str = "") -> Rental:
    assert is_legal(rental.state, target), f"{rental.state} never becomes {target}"
    ended_at = at if target is _S.ENDED else None
    return replace(
        rental, state=target, since=at, ended_at=ended_at, reason=reason or rental.reason
    )
