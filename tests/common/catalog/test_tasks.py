from typing import Any

import pytest
from pydantic import ValidationError

from trackfarm.catalog import Brief, FieldProblem, brief_problems

SOURCE = "https://example.org/a.wav"
CODES = "<|audio_code_1|><|audio_code_63999|>" * 75  # 150 codes, 30 s
REPAINT: dict[str, Any] = {"task_type": "repaint", "src_audio": SOURCE, "repainting_start": 5}
GOOD: list[dict[str, Any]] = [
    {"task_type": "text2music"},
    {"task_type": "text2music", "audio_code_string": CODES, "audio_cover_strength": 0.5},
    {"task_type": "text2music", "reference_audio": SOURCE},
    {"task_type": "cover", "src_audio": SOURCE, "audio_cover_strength": 0.3},
    {"task_type": "cover", "audio_code_string": CODES},
    {"task_type": "text2music", "audio_code_string": CODES, "cover_noise_strength": 0.2},
    {"task_type": "cover-nofsq", "src_audio": SOURCE, "audio_cover_strength": 0.3},
    {"task_type": "text2music", "fade_in_duration": 2, "fade_out_duration": 3},
    {"task_type": "repaint", "src_audio": SOURCE, "repainting_start": 5, "repainting_end": 10},
    {"task_type": "repaint", "src_audio": SOURCE, "repainting_start": 5, "repainting_end": -1},
    {"task_type": "repaint", "src_audio": SOURCE, "repainting_end": 30},
    REPAINT | {"repaint_mode": "Conservative", "chunk_mask_mode": "explicit"},
    REPAINT | {"repaint_strength": 0.2, "repaint_wav_crossfade_sec": 0.01},
    {"task_type": "extract", "src_audio": SOURCE, "track_name": "vocals"},
    {"task_type": "lego", "src_audio": SOURCE, "track_name": "drums", "repainting_start": 3},
    {"task_type": "complete", "src_audio": SOURCE, "track_classes": "drums,bass"},
]
BAD: list[tuple[dict[str, Any], set[str]]] = [
    ({"task_type": "cover"}, {"src_audio"}),
    ({"task_type": "repaint", "src_audio": SOURCE}, {"repainting_start"}),
    ({"task_type": "repaint"}, {"src_audio", "repainting_start"}),
    ({"task_type": "repaint", "src_audio": SOURCE, "repainting_start": 30}, {"repainting_start"}),
    (
        {"task_type": "repaint", "src_audio": SOURCE, "repainting_start": 9, "repainting_end": 9},
        {"repainting_end"},
    ),
    ({"task_type": "repaint", "src_audio": SOURCE, "repainting_end": 31}, {"repainting_end"}),
    ({"task_type": "extract"}, {"src_audio", "track_name"}),
    ({"task_type": "lego", "src_audio": SOURCE}, {"track_name"}),
    ({"task_type": "complete", "src_audio": SOURCE}, {"track_classes"}),
    ({"src_audio": SOURCE}, {"src_audio"}),
    ({"audio_cover_strength": 0.5}, {"audio_cover_strength"}),
    ({"repaint_mode": "aggressive"}, {"repaint_mode"}),
    ({"task_type": "cover-nofsq", "audio_code_string": CODES}, {"src_audio", "audio_code_string"}),
    ({"cover_noise_strength": 0.2}, {"cover_noise_strength"}),
    (REPAINT | {"fade_out_duration": 1}, {"fade_out_duration"}),
    (REPAINT | {"repaint_mode": "conservative", "repaint_strength": 0.4}, {"repaint_strength"}),
    (
        REPAINT | {"repaint_mode": "aggressive", "repaint_wav_crossfade_sec": 0.1},
        {"repaint_wav_crossfade_sec"},
    ),
    ({"repainting_start": 5, "track_name": "drums"}, {"repainting_start", "track_name"}),
    (
        {"task_type": "cover", "src_audio": SOURCE, "track_classes": ["drums"]},
        {"track_classes"},
    ),
    ({"audio_code_string": "<|audio_code_1|>" * 100}, {"audio_code_string"}),
    (
        {"task_type": "cover", "src_audio": SOURCE, "audio_code_string": CODES},
        {"audio_code_string"},
    ),
]
WRONG_VALUES: list[dict[str, Any]] = [
    {"track_name": "kazoo"},
    {"track_classes": "drums,kazoo"},
    {"track_classes": 5},
    {"audio_code_string": "1,2,3"},
    {"audio_code_string": "<|audio_code_64000|>"},
    {"audio_code_string": "<|audio_code_1|>" * 4000},
    {"audio_cover_strength": 1.1},
    {"repainting_start": -1},
    {"repainting_end": -2},
    {"dcw_mode": "middle"},
    {"dcw_enabled": "perhaps"},
    {"dcw_wavelet": "db4"},
    {"task_type": "remix"},
]


def faults(fields: dict[str, Any]) -> list[FieldProblem]:
    with pytest.raises(ValidationError) as raised:
        Brief.model_validate({"prompt": "x", "duration": 30, **fields})
    return brief_problems(raised.value)


@pytest.mark.parametrize("fields", GOOD)
def test_task_with_all_that_it_needs_is_valid(fields: dict[str, Any]) -> None:
    brief = Brief.model_validate({"prompt": "x", "duration": 30, **fields})
    assert brief.task_type == fields["task_type"]
    assert Brief.model_validate_json(brief.canonical()) == brief


@pytest.mark.parametrize(("fields", "wrong"), BAD)
def test_task_with_missing_or_unused_fields_is_refused(
    fields: dict[str, Any], wrong: set[str]
) -> None:
    result = faults(fields)
    assert {fault.field for fault in result} == wrong
    assert all(fault.remedy for fault in result)


@pytest.mark.parametrize("fields", WRONG_VALUES)
def test_task_values_out_of_range_are_refused(fields: dict[str, Any]) -> None:
    assert {fault.field for fault in faults(fields)} == set(fields)


def test_task_remedy_names_the_tasks_that_use_a_field() -> None:
    (fault,) = faults({"track_name": "drums"})
    assert str(fault) == (
        "track_name: is not used by text2music; remove it, or set task_type to extract, lego"
    )


def test_task_codes_of_another_length_name_the_right_duration() -> None:
    (fault,) = faults({"audio_code_string": "<|audio_code_1|>" * 100})
    assert fault.wrong == "100 codes are 20 s of music, not 30 s"
    assert fault.remedy == "set duration to 20"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (REPAINT | {"repainting_start": -2}, "nothing is added to a source here"),
        (REPAINT | {"repainting_end": 40}, "nothing is added to a source here"),
        ({"audio_format": "AAC"}, "raw AAC has no exact length"),
        ({"audio_format": "wav32"}, "finished samples have 16 bits"),
    ],
)
def test_abilities_that_only_ace_step_has_are_refused_with_the_reason(
    fields: dict[str, Any], reason: str
) -> None:
    (problem,) = faults(fields)
    assert reason in problem.wrong
    assert problem.remedy
