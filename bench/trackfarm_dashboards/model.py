"""Elements of a dashboard. Grafana's grid has 24 columns; a row is 38 pixels high."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

COLUMNS = 24
SCREEN = 25  # rows visible on a screen of 1080 lines below Grafana's header


class Kind(StrEnum):
    STAT = "stat"
    SERIES = "timeseries"
    TABLE = "table"


class Unit(StrEnum):
    """Units by Grafana's names."""

    SHORT = "short"
    SHARE = "percentunit"
    SECONDS = "s"
    BYTES = "bytes"
    DOLLARS = "currencyUSD"


@dataclass(frozen=True, slots=True)
class Query:
    """A query; `legend` is Grafana's template, such as `{{tier}}`."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel; `text` is its description; `stacked` adds the series up; `alarm`: red from this
    value on."""

    title: str
    kind: Kind
    queries: Sequence[Query]
    unit: Unit = Unit.SHORT
    text: str = ""
    stacked: bool = False
    alarm: float | None = None
    decimals: int | None = None


@dataclass(frozen=True, slots=True)
class DashboardRow:
    """Panels side by side, equally wide, `height` rows high."""

    height: int
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Variable:
    """A label that the viewer can filter by; its values come from `metric`."""

    label: str
    metric: str


@dataclass(frozen=True, slots=True)
class Dashboard:
    uid: str
    title: str
    text: str
    rows: Sequence[DashboardRow]
    variables: Sequence[Variable] = field(default_factory=tuple)

    @property
    def height(self) -> int:
        return sum(row.height for row in self.rows)


@dataclass(frozen=True, slots=True)
class PanelPlace:
    """Left edge, top edge, width and height in the grid."""

    x: int
    y: int
    width: int
    height: int


def laid_out(dashboard: Dashboard) -> Iterator[tuple[Panel, PanelPlace]]:
    """Yield each panel with its place, row by row; the first panels get the remaining columns."""
    top = 0
    for row in dashboard.rows:
        left, (width, rest) = 0, divmod(COLUMNS, len(row.panels))
        for number, panel in enumerate(row.panels):
            wide = width + (number < rest)
            yield panel, PanelPlace(left, top, wide, row.height)
            left += wide
        top += row.height


def stat(title: str, expr: str, unit: Unit = Unit.SHORT, **more: object) -> Panel:
    """Return a panel with one number."""
    return Panel(title, Kind.STAT, [Query(expr)], unit, **more)  # type: ignore[arg-type]


def series(title: str, *queries: tuple[str, str], unit: Unit = Unit.SHORT, **more: object) -> Panel:
    """Return a panel with lines over time; each query is an expression and its legend."""
    return Panel(title, Kind.SERIES, [Query(*query) for query in queries], unit, **more)  # type: ignore[arg-type]
