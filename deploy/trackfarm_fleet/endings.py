"""Why a machine that was made has to end: pure."""

from trackfarm.rentals import RentalState
from trackfarm_fleet.providers.port import Observed
from trackfarm_fleet.rental_records import Patience, Rental, Sight

_S = RentalState
_WITH_WORKER = frozenset({_S.JOINED, _S.DRAINING})


def why_end(rental: Rental, sight: Sight, patience: Patience) -> str:
    """The reason to end a machine that was made; empty for none."""
    return (
        _seen_to_fail(rental, sight, patience)
        or _too_late(rental, sight, patience)
        or _drained(rental, sight)
        or ("" if _may_drain(rental, sight) or sight.wanted else sight.why)
    )


def _may_drain(rental: Rental, sight: Sight) -> bool:
    """Whether there is a worker that may have something to finish: none where it was stopped."""
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
            return f"its provider says it is broken: {shown.detail}"
        case Observed.ENDED:
            return "its provider has ended it"
        case Observed.STOPPED if sight.at - (rental.stopped_at or sight.at) > patience.stopped:
            return f"it was stopped for {patience.stopped:g} s"
    return ""


def _missing(rental: Rental, listed_at: float, patience: Patience) -> str:
    if rental.seen_at is None:
        never = listed_at - rental.intended_at > patience.appear
        return "its provider never listed it" if never else ""
    gone = listed_at - rental.seen_at > patience.vanish
    return "it vanished from its provider's list" if gone else ""


def _too_late(rental: Rental, sight: Sight, patience: Patience) -> str:
    waited = sight.at - rental.since
    match rental.state:
        case _S.CREATED | _S.BOOTING:
            started = rental.created_at or rental.since
            late = sight.worker is None and sight.at - started > patience.boot
            return f"no worker joined within {patience.boot:g} s" if late else ""
        case _S.DRAINING if waited > patience.drain:
            return f"it did not drain within {patience.drain:g} s"
    # A stopped machine is silent for a good reason, and has a patience of its own.
    silent = sight.worker is not None and sight.worker.silent_seconds > patience.silence
    if silent and rental.stopped_at is None:
        return f"its worker was silent for {patience.silence:g} s"
    return ""


def _drained(rental: Rental, sight: Sight) -> str:
    left = sight.worker is not None and sight.worker.left
    return "its worker has left" if left and rental.state in _WITH_WORKER else ""
