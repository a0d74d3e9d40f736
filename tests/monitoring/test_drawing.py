"""Drawing of dashboards: formatted values, legends, and a picture with any amount of data."""

from pathlib import Path

import pytest
from matplotlib import image

from trackfarm_dashboards.collection import DASHBOARDS
from trackfarm_dashboards.drawing import INCHES, PIXELS_PER_INCH, draw, legend, words
from trackfarm_dashboards.history import HistoryLine
from trackfarm_dashboards.model import COLUMNS, Unit, laid_out


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.984, Unit.SHARE, "98.4 %"),
        (1536.0, Unit.BYTES, "1.5 KiB"),
        (0.0123, Unit.DOLLARS, "$0.0123"),
        (1234.5, Unit.DOLLARS, "$1,234.50"),
        (0.0042, Unit.SECONDS, "4.2 ms"),
        (90.0, Unit.SECONDS, "90 s"),
        (5400.0, Unit.SECONDS, "90 min"),
        (-7200.0, Unit.SECONDS, "-2 h"),
        (3_960.0, Unit.SHORT, "3.96 K"),
        (7.0, Unit.SHORT, "7"),
    ],
)
def test_words_format_values_by_unit(value: float, unit: Unit, text: str) -> None:
    assert words(value, unit) == text


def test_legend_fills_in_labels() -> None:
    assert legend("{{tier}} done", {"tier": "vram8"}) == "vram8 done"
    assert legend("", {}) == "value"


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.uid)
def test_laid_out_panels_do_not_overlap(dashboard: object) -> None:
    places = [place for board in DASHBOARDS if board is dashboard for _, place in laid_out(board)]
    cells = [
        (x, y)
        for place in places
        for x in range(place.x, place.x + place.width)
        for y in range(place.y, place.y + place.height)
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) == COLUMNS - 1


@pytest.mark.parametrize("number", [0, 2], ids=["no data", "two lines"])
def test_draw_writes_one_plot_per_dashboard(number: int, tmp_path: Path) -> None:
    lines = [
        HistoryLine({"tier": f"vram{n}"}, [0.0, 60.0], [n, float("nan")]) for n in range(number)
    ]
    draw(DASHBOARDS[0], lambda _: lines, tmp_path / "fleet.png", span=(0.0, 60.0))
    height, width, _ = image.imread(tmp_path / "fleet.png").shape
    assert (width, height) == tuple(round(side * PIXELS_PER_INCH) for side in INCHES)
