from typing import Any

import pytest
from pydantic import ValidationError

from trackfarm.catalog import Brief, brief_problems


def wrong_fields(**fields: Any) -> set[str]:
    try:
        Brief.model_validate({"prompt": "x", "duration": 30, **fields})
    except ValidationError as error:
        return {problem.field for problem in brief_problems(error)}
    return set()


@pytest.mark.parametrize(
    "fields",
    [
        {"infer_method": "sde"},
        {"sampler_mode": "Heun"},
        {"timesteps": "0.97, 0.5, 0"},
        {"cfg_interval_start": 0.2, "cfg_interval_end": 0.2},
        {"retake_seed": 3, "retake_variance": 0.1},
    ],
)
def test_options_that_go_together_are_accepted(fields: dict[str, Any]) -> None:
    assert wrong_fields(**fields) == set()


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"infer_method": "sde", "sampler_mode": "heun"}, {"sampler_mode"}),
        ({"timesteps": [1, 0.5], "inference_steps": 2}, {"inference_steps"}),
        ({"timesteps": [1, 0.5], "shift": 3}, {"shift"}),
        ({"cfg_interval_start": 0.6, "cfg_interval_end": 0.4}, {"cfg_interval_start"}),
        ({"retake_variance": 0.2}, {"retake_seed"}),
        ({"retake_seed": 2}, {"retake_variance"}),
        ({"timesteps": "0.5, 0.7"}, {"timesteps"}),
        ({"timesteps": "1.5, 0.7"}, {"timesteps"}),
        ({"timesteps": "0"}, {"timesteps"}),
        ({"flow_edit_source_caption": "x"}, {"flow_edit_source_caption"}),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    fields: dict[str, Any], wrong: set[str]
) -> None:
    assert wrong_fields(**fields) == wrong


def test_timesteps_are_equal_with_and_without_their_last_zero() -> None:
    briefs = [
        Brief.model_validate({"prompt": "x", "duration": 10, "timesteps": levels})
        for levels in ("1,0.5", [1, 0.5, 0])
    ]
    assert briefs[0].canonical() == briefs[1].canonical()
