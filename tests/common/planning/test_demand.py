"""From a catalog to the shapes of its tracks."""

from pathlib import Path

import pytest

from trackfarm.catalog import Brief, CatalogError, open_catalog
from trackfarm.model_sets import model_set
from trackfarm.planning import ShapeCount, demand_of, read_shapes
from trackfarm.planning.demand import effort_of

TURBO, SFT = map(model_set, ("acestep-v15-turbo", "acestep-v15-sft"))


def catalog(path: Path, *rows: str, header: str = "prompt,duration,variations") -> Path:
    file = path / "spa.csv"
    file.write_text("\n".join([header, *rows]) + "\n")
    return file


def test_demand_counts_tracks_by_shape_and_smallest_tier(tmp_path: Path) -> None:
    file = catalog(tmp_path, "a,30,2", "b,30,3", "c,301,1", "d,120,1")
    shapes = read_shapes(open_catalog(file), TURBO)
    counts = {(s.duration, s.steps, s.guided, s.min_vram): s.count for s in shapes}
    assert counts == {
        (30, 8, False, 4): 5,
        (301, 8, False, 24): 1,
        (120, 8, False, 12): 1,
    }
    demand = demand_of(shapes)
    assert demand.tracks == 7
    assert demand.audio_seconds == 5 * 30 + 301 + 120
    assert [tier.vram for tier in demand.tiers] == [4, 12, 24]


def test_demand_takes_guidance_and_steps_from_the_model_set(tmp_path: Path) -> None:
    header = "prompt,duration,inference_steps,guidance_scale"
    file = catalog(tmp_path, "a,60,,", "b,60,30,1", header=header)
    efforts = {(s.steps, s.guided) for s in read_shapes(open_catalog(file), SFT)}
    assert efforts == {(50, True), (30, False)}


def test_demand_merges_durations_within_a_second_without_loss(tmp_path: Path) -> None:
    rows = [f"p{i},{10 + i * 0.05:.2f},1" for i in range(10_000)]
    shapes = read_shapes(open_catalog(catalog(tmp_path, *rows)), TURBO)
    assert len(shapes) < 600
    assert sum(shape.count for shape in shapes) == 10_000
    assert demand_of(shapes).audio_seconds == pytest.approx(
        sum(10 + i * 0.05 for i in range(10_000))
    )


def test_demand_splits_a_row_at_the_limit_of_a_tier(tmp_path: Path) -> None:
    shapes = read_shapes(open_catalog(catalog(tmp_path, "a,60,1", "b,60.5,1")), TURBO)
    assert {(shape.duration, shape.min_vram) for shape in shapes} == {(60, 8), (60.5, 12)}


@pytest.mark.parametrize("built_in", ["tiny", "demo"])
def test_demand_of_a_built_in_model_set_needs_no_large_card(tmp_path: Path, built_in: str) -> None:
    shapes = read_shapes(open_catalog(catalog(tmp_path, "a,600,1")), model_set(built_in))
    assert shapes == [ShapeCount(duration=600, steps=8, guided=False, min_vram=4, count=1)]


def test_read_shapes_stops_at_an_invalid_row(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="duration"):
        read_shapes(open_catalog(catalog(tmp_path, "a,30,1", "b,5,1")), TURBO)


def test_read_shapes_names_the_rows_that_the_model_set_cannot_make(tmp_path: Path) -> None:
    header = "prompt,duration,inference_steps"
    file = catalog(tmp_path, "a,30,8", "b,30,50", "c,30,60", header=header)
    with pytest.raises(CatalogError) as error:
        read_shapes(open_catalog(file), TURBO)
    assert list(map(str, error.value.problems)) == [
        f"{file}:{row}: inference_steps: acestep-v15-turbo takes at most 20 steps; use fewer"
        for row in (3, 4)
    ]


def test_effort_of_a_brief_counts_its_timesteps_and_second_passes() -> None:
    tiny = model_set("tiny")
    fields = {"prompt": "x", "duration": 10, "timesteps": [1, 0.5, 0], "sampler_mode": "heun"}
    assert effort_of(Brief.model_validate(fields), tiny) == (4, False)
