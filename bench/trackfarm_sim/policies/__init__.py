"""Policies that assign tracks, compared on the same machines with the same failures."""

from collections.abc import Callable

from trackfarm_sim.policies.baselines import FixedShards, LongestFirst, OneTaskPerTrack, StaticSplit
from trackfarm_sim.policies.ours import OurPolicy
from trackfarm_sim.policies.rules import Policy

POLICIES: dict[str, Callable[[], Policy]] = {
    "trackfarm": OurPolicy,
    "longest first": LongestFirst,
    "shards of 8": FixedShards,
    "task each, 60 s": lambda: OneTaskPerTrack(60.0),
    "task each, 3600 s": lambda: OneTaskPerTrack(3600.0),
    "equal split": StaticSplit,
}
