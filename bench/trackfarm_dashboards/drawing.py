"""Pictures of dashboards: their own layout and queries, drawn with matplotlib instead of
Grafana."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter

from trackfarm_dashboards.history import HistoryLine
from trackfarm_dashboards.model import (
    COLUMNS,
    Dashboard,
    Kind,
    Panel,
    PanelPlace,
    Query,
    Unit,
    laid_out,
)

Ask = Callable[[str], list[HistoryLine]]
INCHES = (17.0, 9.2)
PIXELS_PER_INCH = 80
BACK, CARD, INK, FAINT, ALARM = "#111217", "#181b1f", "#d5d7da", "#6e7278", "#f2495c"
COLOURS = ("#73bf69", "#5794f2", "#ff9830", "#b877d9", "#f2cc0c", "#8ab8ff", "#fa6400", "#ff7383")
STYLE: dict[Any, Any] = {
    "axes.edgecolor": FAINT,
    "axes.facecolor": CARD,
    "figure.facecolor": BACK,
    "font.size": 8,
    "grid.color": "#2c3235",
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "axes.prop_cycle": cycler(color=COLOURS),
}


def draw(dashboard: Dashboard, ask: Ask, path: Path, *, span: tuple[float, float]) -> None:
    """Write a PNG of the dashboard; `ask` answers a query over `span`, in Unix seconds."""
    with mpl.rc_context(STYLE):
        figure = plt.figure(figsize=INCHES, dpi=PIXELS_PER_INCH)
        figure.text(0.012, 0.975, dashboard.title, fontsize=13, weight="bold", va="center")
        figure.text(0.988, 0.975, dashboard.text, fontsize=9, color=FAINT, ha="right", va="center")
        for panel, place in laid_out(dashboard):
            axes = figure.add_axes(_box(place, dashboard.height))
            series = [(query, line) for query in panel.queries for line in ask(query.expr)]
            _DRAWERS[panel.kind](axes, panel, series)
            if panel.kind is Kind.SERIES:
                axes.set_xlim(*span)
        figure.savefig(path)
        plt.close(figure)


def words(value: float, unit: Unit, decimals: int | None = None) -> str:
    """Format a value as Grafana does."""
    match unit:
        case Unit.SHARE:
            return f"{100 * value:.{1 if decimals is None else decimals}f} %"
        case Unit.BYTES:
            return _scaled(value, 1024, ("B", "KiB", "MiB", "GiB", "TiB"))
        case Unit.DOLLARS:
            return f"${value:,.2f}" if abs(value) >= 1 else f"${value:.3g}"
        case Unit.SECONDS:
            return _duration(value)
        case Unit.SHORT:
            return _scaled(value, 1000, ("", "K", "M", "G"), decimals)


def _duration(seconds: float) -> str:
    if abs(seconds) < 1:
        return f"{1000 * seconds:.3g} ms"
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if abs(seconds) >= 2 * size:
            return f"{seconds / size:.3g} {name}"
    return f"{seconds:.3g} s"


def _scaled(value: float, base: int, names: Sequence[str], decimals: int | None = None) -> str:
    power = 0
    while abs(value) >= base and power < len(names) - 1:
        value, power = value / base, power + 1
    if power == 0 and decimals is not None:
        return f"{value:.{decimals}f}"
    return f"{value:.3g} {names[power]}".strip()


def _box(place: PanelPlace, rows: int) -> tuple[float, float, float, float]:
    """Return the axes of a panel within its card, in fractions of the figure."""
    high = 0.945 / rows
    left, width = place.x / COLUMNS, place.width / COLUMNS
    bottom = 0.95 - (place.y + place.height) * high
    return left + 0.008, bottom + 0.012, width - 0.016, place.height * high - 0.024


def _card(axes: Any, panel: Panel) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.text(0.02, 0.96, panel.title, transform=axes.transAxes, va="top", fontsize=8.5)


def _stat(axes: Any, panel: Panel, series_lines: Sequence[tuple[Query, HistoryLine]]) -> None:
    _card(axes, panel)
    value = series_lines[0][1].values[-1] if series_lines else None
    is_alarm = panel.alarm is not None and value is not None and value >= panel.alarm
    shown = "no data" if value is None else words(value, panel.unit, panel.decimals)
    colour = ALARM if is_alarm else "#73bf69"
    axes.text(
        0.5,
        0.4,
        shown,
        transform=axes.transAxes,
        ha="center",
        va="center",
        fontsize=19,
        color=colour,
    )


def _table(axes: Any, panel: Panel, series_lines: Sequence[tuple[Query, HistoryLine]]) -> None:
    _card(axes, panel)
    now = max((line.times[-1] for _, line in series_lines), default=0)
    rows = [line for _, line in series_lines if line.times[-1] == now]
    for number, line in enumerate(sorted(rows, key=lambda line: -line.values[-1])):
        height = 0.8 - 0.13 * number
        cells = [line.labels.get(n, "") for n in ("name", "gpu", "tier", "model_set", "provider")]
        cells.append(words(line.values[-1], panel.unit))
        for place, text in zip((0.02, 0.12, 0.42, 0.53, 0.79, 0.98), cells, strict=True):
            side = "right" if place > 0.9 else "left"
            axes.text(place, height, text[:24], transform=axes.transAxes, ha=side, fontsize=7.5)


def _series(axes: Any, panel: Panel, series_lines: Sequence[tuple[Query, HistoryLine]]) -> None:
    axes.set_title(panel.title, loc="left", fontsize=8.5, color=INK, pad=3)
    axes.grid(visible=True, linewidth=0.5)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0, labelsize=7)
    box = axes.get_position()
    axes.set_position((box.x0 + 0.028, box.y0 + 0.055, box.width - 0.034, box.height - 0.08))
    names = [legend(query.legend, line.labels) for query, line in series_lines]
    if panel.stacked and series_lines:
        times = sorted({t for _, line in series_lines for t in line.times})
        heights = [_at(line, times) for _, line in series_lines]
        axes.stackplot(times, heights, labels=names, alpha=0.6, step="post")
    else:
        for name, (_, line) in zip(names, series_lines, strict=True):
            axes.plot(line.times, [_finite(v) for v in line.values], label=name, linewidth=1.1)
    axes.xaxis.set_major_formatter(FuncFormatter(_clock_time))
    axes.locator_params(axis="x", nbins=4)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: words(value, panel.unit)))
    axes.locator_params(axis="y", nbins=5)
    values = [_finite(value) for _, line in series_lines for value in line.values]
    axes.set_ylim(bottom=min(0.0, 1.05 * min(values, default=0.0)))
    if not any(values):
        axes.set_ylim(0.0, 1.0)
    if series_lines:
        axes.legend(
            loc="upper left",
            bbox_to_anchor=(-0.06, -0.1),
            ncols=4,
            fontsize=6.5,
            frameon=False,
            labelcolor=INK,
            handlelength=1,
            columnspacing=1,
        )


def legend(template: str, labels: Mapping[str, str]) -> str:
    """Fill in the labels of Grafana's `{{label}}` template."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), template) or "value"


def _at(line: HistoryLine, times: Sequence[float]) -> list[float]:
    values = dict(zip(line.times, line.values, strict=True))
    return [max(0.0, _finite(values.get(t, 0.0))) for t in times]


def _finite(value: float) -> float:
    return value if isfinite(value) else 0.0


def _clock_time(at: float, _: object) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S}"


_DRAWERS: Mapping[Kind, Callable[[Any, Panel, Sequence[tuple[Query, HistoryLine]]], None]] = {
    Kind.STAT: _stat,
    Kind.TABLE: _table,
    Kind.SERIES: _series,
}
