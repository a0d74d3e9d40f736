"""Reasons to end a machine. Pure."""

from trackfarm.rentals import RentalState
from trackfarm_fleet.providers.port import Observed
from trackfarm_fleet.rental_records import Patience, Rental, Sight

_S = RentalState
_WITH_WORKER = frozenset({_S.JOINED, _S.DRAINING})


def why_end(rental: Rental, sight: Sight, patience: Patience) -> str:
    """Return the reason to end a machine that was created; empty for none."""
    return (
        _seen_to_fail(rental, sight, patience)
        or _too_late(rental, sight, patience)
        or _drained(rental, sight)
        or ("" if _may_drain(rental, sight) or sight.wanted else sight.why)
    )


def _may_drain(rental: Rental, sight: Sight) -> bool:
    """Return True if a worker may have work to finish; on a stopped machine there is none."""
    if rental.stopped_at is not None:
        return False
    return rental.state in _WITH_WORKER or sight.worker is not None


def _seen_to_fail(rental: Rental, sight: Sight, patience: Patience) -> str:
    if sight.listed_at is None:
        return ""
    shown = sight.instance
    if shown is None:
        return _missing(rental, sight.listed_at, patience)
    match shown.state:
        case Observed.BROKEN:
            return f"its provider reports it as broken: {shown.detail}"
        case Observed.ENDED:
            return "its provider has ended it"
        case Observed.STOPPED if sight.at - (rental.stopped_at or sight.at) > patience.stopped:
            return f"it was stopped for {patience.stopped:g} s"
    return ""


def _missing(rental: Rental, listed_at: float, patience: Patience) -> str:
    if rental.seen_at is None:
        never_listed = listed_at - rental.intended_at > patience.appear
        return "its provider never listed it" if never_listed else ""
    vanished = listed_at - rental.seen_at > patience.vanish
    return "it vanished from its provider's list" if vanished else ""


def _too_late(rental: Rental, sight: Sight, patience: Patience) -> str:
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


def _drained(rental: Rental, sight: Sight) -> str:
    has_left = sight.worker is not None and sight.worker.left
    return "its worker has left" if has_left and rental.state in _WITH_WORKER else ""
