"""Ways to hand out tracks, compared on the same machines and the same misfortunes."""

from collections.abc import Callable

from trackfarm_sim.policies.baselines import (
    FixedShards,
    LongestFirst,
    OneTaskPerTrack,
    StaticSplit,
)
from trackfarm_sim.policies.ours import Ours
from trackfarm_sim.policies.rules import Policy

POLICIES: dict[str, Callable[[], Policy]] = {
    "trackfarm": Ours,
    "longest first, one by one": LongestFirst,
    "fixed shards of 8": FixedShards,
    "task per track, 60 s redelivery": lambda: OneTaskPerTrack(60.0),
    "task per track, 3600 s redelivery": lambda: OneTaskPerTrack(3600.0),
    "static equal split": StaticSplit,
}
