"""Whether workers of a model set could make a brief."""

from typing import Any

import pytest

from trackfarm.catalog import Brief
from trackfarm.model_sets import model_set
from trackfarm.planning import BriefNotes, BriefProblem, ModelSetCheck, check_for_model_set

EXTRACT = {"task_type": "extract", "src_audio": "https://x/y.wav", "track_name": "vocals"}
COVER = {"task_type": "cover", "src_audio": "https://x/y.wav"}
REPAINT = {"task_type": "repaint", "src_audio": "https://x/y.wav", "repainting_end": 5}
REMEDY = " change the task or the model set"


def brief(**fields: Any) -> Brief:
    return Brief.model_validate({"prompt": "smooth jazz", "duration": 30} | fields)


@pytest.mark.parametrize(
    ("fields", "kind", "message"),
    [
        (
            EXTRACT,
            "acestep-v15-turbo",
            "acestep-v15-turbo cannot do extract, only cover, cover-nofsq, repaint, text2music;"
            + REMEDY,
        ),
        (
            COVER,
            "demo",
            "demo cannot do cover, only repaint, text2music;" + REMEDY,
        ),
        (
            {"inference_steps": 200},
            "acestep-v15-turbo",
            "acestep-v15-turbo takes at most 20 steps; use fewer",
        ),
        (
            {"timesteps": [1 - step / 30 for step in range(25)]},
            "acestep-v15-turbo",
            "acestep-v15-turbo takes at most 20 steps; use fewer",
        ),
        (
            {"use_adg": True},
            "acestep-v15-turbo",
            "acestep-v15-turbo has no guidance to change; remove it",
        ),
        (
            {"cfg_interval_end": 0.9},
            "acestep-v15-turbo",
            "acestep-v15-turbo has no guidance to change; remove it",
        ),
    ],
)
def test_check_for_model_set_refuses_briefs_that_no_worker_could_make(
    fields: dict[str, Any], kind: str, message: str
) -> None:
    with pytest.raises(BriefProblem) as refused:
        check_for_model_set(brief(**fields), model_set(kind))
    assert refused.value.field == next(iter(fields))
    assert refused.value.message == message


@pytest.mark.parametrize("fields", [{}, REPAINT, {"duration": 600}])
def test_check_for_model_set_passes_what_demo_can_make(fields: dict[str, Any]) -> None:
    check_for_model_set(brief(**fields), model_set("demo"))


def test_model_set_check_gives_problems_their_row_and_takes_notes_on_the_others() -> None:
    notes = BriefNotes("demo")
    check = ModelSetCheck(model_set("demo"), "spa.csv", notes)
    (problem,) = check.inspect(7, brief(**COVER, lyrics="la la"))
    assert str(problem).startswith("spa.csv:7: task_type: demo cannot do cover")
    assert check.inspect(8, brief(lyrics="la la")) == []
    assert notes.texts() == ["demo does not sing lyrics: 1 brief (row 8)"]
