"""What others do: a queue of tasks, fixed shards, an equal share for each machine.

They are treated kindly: a worker with room gets work at once, without waiting for a tick or for
the report of what it has computed.
"""

from collections.abc import Sequence

from trackfarm_scheduler.outlines import NewShard, WaitingTrack
from trackfarm_sim.desk import Desk
from trackfarm_sim.policies.rules import Decision, Rules, View

CELERY_OVERHEAD = 0.5  # engine seconds between two tasks: fetch, decode, upload, acknowledge
PIPELINED = 2  # shards ahead, where a policy has them


def _shard(desk: Desk, tracks: Sequence[WaitingTrack]) -> NewShard:
    expected = sum(desk.seconds(track.shape) for track in tracks)
    return NewShard(desk.id, desk.id, "job", tuple(t.id for t in tracks), expected)


def _deal(farm: View, size: int, depth: int) -> Decision:
    """The next `size` tracks to whoever has room, those with nothing first."""
    desks = [d for d in farm.desks.values() if d.died_at is None]  # the dead pull nothing
    places = [d for ahead in range(depth) for d in desks if d.ahead <= ahead]
    waiting = farm.ledger.window(size * len(places))
    cuts = [waiting[i : i + size] for i in range(0, len(waiting), size)]
    return Decision([_shard(desk, cut) for desk, cut in zip(places, cuts, strict=False)])


class OneTaskPerTrack:
    """A plain Celery queue with late acknowledgement: a dead worker's task comes again when the
    broker's visibility timeout is over."""

    def __init__(self, redelivered_after: float) -> None:
        self.rules = Rules(
            tick=0.0,
            overhead=CELERY_OVERHEAD,
            redelivered_after=redelivered_after,
            queues_all=True,
            blames=False,
        )

    def decide(self, farm: View, now: float) -> Decision:
        return _deal(farm, 1, 1)


class FixedShards:
    """Shards of eight, one computing and one waiting; dead workers noticed as soon as by ours."""

    rules = Rules(tick=0.0)

    def decide(self, farm: View, now: float) -> Decision:
        return _deal(farm, 8, PIPELINED)


class LongestFirst:
    """The longest track that waits to whoever has room, one computing and one waiting."""

    rules = Rules(tick=0.0, longest_first=True)

    def decide(self, farm: View, now: float) -> Decision:
        return _deal(farm, 1, PIPELINED)


class StaticSplit:
    """As many tracks for each machine, cut once; the machine that replaces a lost one goes on with
    its list."""

    rules = Rules()

    def decide(self, farm: View, now: float) -> Decision:
        alive = [desk for desk in farm.desks.values() if desk.died_at is None]
        free = {desk.machine.slot: desk for desk in alive if not desk.ahead}
        if not free:
            return Decision()
        total, slots = farm.ledger.total, farm.scenario.machines
        lists: dict[int, list[WaitingTrack]] = {}
        for track in farm.ledger.window(total):
            lists.setdefault(track.id * slots // total, []).append(track)
        return Decision([_shard(free[s], mine) for s, mine in lists.items() if s in free])
