"""How a create call is made safe to repeat by providers that know no idempotency key."""

from collections.abc import Callable, Sequence

from trackfarm_fleet.providers.port import Instance, Observed, Trouble, Unavailable

Lister = Callable[[], Sequence[Instance] | Trouble]


def create_once(
    tag: str, *, attempt: Callable[[], Instance | Trouble], listing: Lister
) -> Instance | Trouble:
    """The machine that has the tag already, else what `attempt` makes; when its answer was lost,
    the machine that it made after all."""
    there = _tagged(tag, listing())
    if there is not None:
        return there
    made = attempt()
    if not (isinstance(made, Unavailable) and made.maybe_done):
        return made
    found = _tagged(tag, listing())
    return found if isinstance(found, Instance) else made


def _tagged(tag: str, listed: Sequence[Instance] | Trouble) -> Instance | Trouble | None:
    if isinstance(listed, Trouble):
        return listed
    alive = [i for i in listed if i.tag == tag and i.state is not Observed.ENDED]
    return min(alive, key=lambda i: (i.created_at or 0.0, i.id), default=None)
