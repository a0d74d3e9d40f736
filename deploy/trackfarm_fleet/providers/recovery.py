"""Repeatable create calls for providers without idempotency keys."""

from collections.abc import Callable, Sequence

from trackfarm_fleet.providers.port import Instance, Observed, Trouble, Unavailable

Lister = Callable[[], Sequence[Instance] | Trouble]


def create_once(
    tag: str, *, attempt: Callable[[], Instance | Trouble], listing: Lister
) -> Instance | Trouble:
    """Return the machine that already has the tag, else the one that `attempt` makes; if its
    response was lost, look for the machine again."""
    existing = _tagged(tag, listing())
    if existing is not None:
        return existing
    answer = attempt()
    if not (isinstance(answer, Unavailable) and answer.maybe_done):
        return answer
    recovered = _tagged(tag, listing())
    return recovered if isinstance(recovered, Instance) else answer


def _tagged(tag: str, listed: Sequence[Instance] | Trouble) -> Instance | Trouble | None:
    if isinstance(listed, Trouble):
        return listed
    alive = [i for i in listed if i.tag == tag and i.state is not Observed.ENDED]
    return min(alive, key=lambda i: (i.created_at or 0.0, i.id), default=None)
