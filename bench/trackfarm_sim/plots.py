"""Plots of runs: a timeline of the slots, and a comparison of policies. Needs matplotlib."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from trackfarm_sim.farm import SimFarm
from trackfarm_sim.meters import ComputeInterval
from trackfarm_sim.replications import Replication

MADE, RACED, LOST = "#4c78a8", "#f2a541", "#d1495b"
LANES = 80  # slots drawn; a larger fleet shows every n-th
BINS = 400


def draw_timeline(farm: SimFarm, bound: float, target: Path) -> None:
    """Draw a line for each slot, and the share of slots that compute. `farm` has run and kept its
    stretches."""
    figure = Figure(figsize=(12, 8), layout="constrained")
    lanes, share = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    until = farm.ledger.last_commit
    _lanes(lanes, farm)
    edges = np.linspace(0, until, BINS + 1)
    busy = busy_share(farm.meters.intervals, edges, farm.scenario.machines)
    share.fill_between(edges[:-1], busy, step="post", color=MADE, alpha=0.6)
    share.axvline(bound, color="black", linestyle="--", label=f"bound {bound:.0f} s")
    share.set(xlabel="seconds", ylabel="share of slots computing", ylim=(0, 1.05), xlim=(0, until))
    share.legend(loc="lower left")
    figure.suptitle(
        f"{farm.ledger.total:,} tracks on {farm.scenario.machines:,} GPUs: {until:.0f} s, "
        f"{until / bound:.3f} x the bound"
    )
    figure.savefig(target, dpi=120)


def _lanes(axes: Axes, farm: SimFarm) -> None:
    every = -(-farm.scenario.machines // LANES)
    shown = [s for s in farm.meters.intervals if s.slot % every == 0]
    made = [(s.slot // every, s.start, s.end) for s in shown if not s.is_race]
    raced = [(s.slot // every, s.start, s.end) for s in shown if s.is_race]
    lost = [(s.slot // every, s.end - s.lost, s.end) for s in shown if s.lost]
    for color, label, bars in ((MADE, "made", made), (RACED, "raced", raced), (LOST, "lost", lost)):
        axes.barh(
            [lane for lane, _, _ in bars],
            [end - start for _, start, end in bars],
            left=[start for _, start, _ in bars],
            height=0.9,
            color=color,
            edgecolor="white",
            linewidth=0.2,
            label=label,
        )
    axes.set(ylabel="slot" if every == 1 else f"every {every}th slot")
    axes.invert_yaxis()
    axes.legend(loc="lower left", ncols=3)


def busy_share(
    intervals: Sequence[ComputeInterval], edges: NDArray[np.float64], slots: int
) -> NDArray[np.float64]:
    """Return for each bin between two edges the fraction of slot-seconds in which an engine
    computed."""
    starts = np.sort([s.start for s in intervals])
    ends = np.sort([s.end for s in intervals])
    busy_seconds = _seconds_after(starts, edges) - _seconds_after(ends, edges)
    return np.asarray(np.diff(busy_seconds) / np.diff(edges) / max(slots, 1))


def _seconds_after(moments: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return at each edge the sum of the seconds since each earlier moment."""
    before = np.searchsorted(moments, edges)
    return np.asarray(before * edges - np.concatenate(([0.0], np.cumsum(moments)))[before])


def draw_comparison(replications: Sequence[Replication], target: Path) -> None:
    """Draw makespan over the bound, and lost time, policy by policy."""
    figure = Figure(figsize=(11, 0.6 * len(replications) + 1.8), layout="constrained")
    spans, waste = figure.subplots(1, 2, sharey=True)
    names = [replication.policy for replication in replications]
    means = [replication.mean(lambda o: o.ratio) for replication in replications]
    worst = [replication.most(lambda o: o.ratio) for replication in replications]
    spans.barh(names, worst, color=MADE, alpha=0.35, label="worst seed")
    bars = spans.barh(names, means, color=MADE, label="mean")
    spans.bar_label(bars, fmt="%.3f", padding=12)
    spans.set(xlabel="makespan over the lower bound (log)", xscale="log")
    spans.set_xlim(1.0, 2.0 * max(worst))
    spans.legend(loc="lower right")
    lost = [100 * replication.mean(lambda o: o.waste) for replication in replications]
    waste.bar_label(waste.barh(names, lost, color=LOST), fmt="%.2f %%", padding=3)
    waste.set(xlabel="GPU time lost, %")
    waste.margins(x=0.2)
    spans.invert_yaxis()
    figure.savefig(target, dpi=120)
