"""The life of a rental: the only module that changes its state. Pure.

    intended ─▶ created ─▶ booting ─▶ joined ─▶ draining ─▶ ending ─▶ ended
        │          └──────────┴──────────┴────────────────────▲         ▲
        └───────────────────────────────────────────────────────────────┘

| from | to | when |
| --- | --- | --- |
| intended | created | create answered with a machine, or the list shows one with our tag |
| intended | ended | the create call was refused, or no list has shown a machine in time |
| created | booting | the list shows it |
| booting | joined | its worker has registered |
| joined | draining | it is not wanted any more |
| draining | ending | its worker has left, or takes too long |
| created, booting, joined, draining | ending | broken, vanished, silent, too late, stopped too long |
| ending | ended | a list after the request to end shows it no more, or shows it as ended |

What was never seen to be gone is never closed: it may still cost money.
"""

from dataclasses import replace

from trackfarm.rentals import RentalState
from trackfarm_fleet.endings import why_end
from trackfarm_fleet.providers.port import Instance, Observed, Trouble, Unavailable
from trackfarm_fleet.rental_records import Patience, Rental, Sight, is_legal

_S = RentalState


def created(rental: Rental, answer: Instance | Trouble, at: float) -> Rental:
    """After the create call. A refusal that is certain ends the row; an answer that was lost
    leaves it intended, and the list decides."""
    if isinstance(answer, Instance):
        return _found(rental, answer, at)
    if isinstance(answer, Unavailable) and answer.maybe_done:
        return replace(rental, reason=answer.detail)
    return _moved(rental, _S.ENDED, at, answer.detail)


def asked_to_end(rental: Rental, at: float) -> Rental:
    """After a request to end the machine was sent, whatever its answer."""
    return replace(rental, asked_to_end_at=at)


def must_ask_to_end(rental: Rental, at: float, patience: Patience) -> bool:
    """Whether to send the provider a request to end the machine now: again and again, because a
    request that was answered well may have done nothing."""
    if rental.state is not _S.ENDING or not rental.provider_id:
        return False
    asked_at = rental.asked_to_end_at
    return asked_at is None or at - asked_at >= patience.ask_again


def observed(rental: Rental, sight: Sight, patience: Patience) -> Rental:
    """The rental after a look at it, as many states on as the look justifies."""
    rental = _noted(rental, sight)
    while (after := _step(rental, sight, patience)) is not rental:
        rental = after
    return rental


def _noted(rental: Rental, sight: Sight) -> Rental:
    """What the list shows, whatever it means. A closed row is history."""
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
    """One move, or the same object."""
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
        return _moved(rental, _S.ENDED, sight.at, rental.reason or "it was never made")
    return rental


def _from_ending(rental: Rental, sight: Sight, patience: Patience) -> Rental:
    if is_over(rental, sight, patience):
        return _moved(rental, _S.ENDED, sight.at, rental.reason)
    return rental


def is_over(rental: Rental, sight: Sight, patience: Patience) -> bool:
    """Whether the end of a machine was observed. A list that shows it no more must have been asked
    for after the request to end, and a machine that no list has shown yet may still appear."""
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
        # The provider's clock bills, ours does not.
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
