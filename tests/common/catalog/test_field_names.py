from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from trackfarm.catalog import Brief, FieldProblem, brief_problems
from trackfarm.catalog.field_names import ALIASES, SWITCHES, field_of, fold, refusal_of

VALUES: dict[str, object] = {
    "prompt": "jazz",
    "lyrics": "la la",
    "duration": 42.0,
    "bpm": 90,
    "key_scale": "A minor",
    "time_signature": 3,
    "vocal_language": "de",
    "seed": 7,
    "inference_steps": 20,
    "guidance_scale": 5.0,
    "shift": 2.0,
    "reference_audio": "https://example.org/r.wav",
    "dcw_enabled": False,
    "dcw_mode": "low",
    "dcw_scaler": 0.1,
    "dcw_high_scaler": 0.01,
    "cover_noise_strength": 0.4,
    "infer_method": "sde",
    "sampler_mode": "heun",
    "timesteps": (1.0, 0.5),
    "use_adg": True,
    "cfg_interval_start": 0.2,
    "cfg_interval_end": 0.8,
    "velocity_norm_threshold": 2.0,
    "velocity_ema_factor": 0.1,
    "latent_shift": 0.1,
    "latent_rescale": 0.9,
    "fade_in_duration": 1.0,
    "fade_out_duration": 2.0,
    "audio_format": "wav",
    "loudness_lufs": -14.0,
    "variations": 3,
    "tags": {"a": "b"},
    "name": "n",
    "title": "t",
    "task_type": "cover",
    "src_audio": "https://example.org/s.wav",
    "audio_cover_strength": 0.5,
    "audio_code_string": "<|audio_code_1|>" * 210,
}
REPAINT: dict[str, object] = {"task_type": "repaint", "repainting_start": 5.0}
SOURCE_TASKS: dict[str, dict[str, object]] = {
    "repainting_start": {"task_type": "repaint", "repainting_start": 5.0},
    "repainting_end": {"task_type": "repaint", "repainting_end": 9.0},
    "retake_seed": {"retake_seed": 9, "retake_variance": 0.2},
    "retake_variance": {"retake_seed": 9, "retake_variance": 0.2},
    "chunk_mask_mode": REPAINT | {"chunk_mask_mode": "explicit"},
    "repaint_mode": REPAINT | {"repaint_mode": "conservative"},
    "repaint_strength": REPAINT | {"repaint_strength": 0.3},
    "repaint_latent_crossfade_frames": REPAINT | {"repaint_latent_crossfade_frames": 5},
    "repaint_wav_crossfade_sec": REPAINT | {"repaint_wav_crossfade_sec": 0.5},
    "track_name": {"task_type": "extract", "track_name": "drums"},
    "track_classes": {"task_type": "complete", "track_classes": ("drums",)},
}


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


FORMS: tuple[Callable[[str], str], ...] = (
    str,
    camel,
    str.upper,
    lambda name: name.replace("_", " ").title(),
    lambda name: name.replace("_", "-"),
)


def example(field: str) -> dict[str, object]:
    base = {"prompt": "x", "duration": 42}
    if field in SOURCE_TASKS:
        source = {"src_audio": "s"} if "task_type" in SOURCE_TASKS[field] else {}
        return base | source | SOURCE_TASKS[field]
    fields = base | {field: VALUES[field]}
    cover = {"task_type": "cover", "src_audio": "s"}
    return (
        fields
        if field not in ("task_type", "src_audio", "audio_cover_strength", "cover_noise_strength")
        else cover | fields
    )


def fault_of(**fields: Any) -> FieldProblem:
    with pytest.raises(ValidationError) as raised:
        Brief.model_validate({"prompt": "x", "duration": 42, **fields})
    (fault,) = brief_problems(raised.value)
    return fault


def test_field_names_cover_every_field() -> None:
    assert set(ALIASES) == set(Brief.model_fields)
    assert set(VALUES) | set(SOURCE_TASKS) == set(Brief.model_fields)


def test_field_names_are_unambiguous() -> None:
    names = [fold(name) for field, aliases in ALIASES.items() for name in {field, *aliases}]
    assert {name for name in names if refusal_of(name)} == set()
    owners = {field_of(name) for name in names}
    assert owners == set(ALIASES)


@pytest.mark.parametrize("field", ALIASES)
def test_field_names_work_in_every_form(field: str) -> None:
    fields = example(field)
    expected = Brief.model_validate(fields)
    for name in (field, *ALIASES[field]):
        for form in FORMS:
            renamed = {form(name) if key == field else key: value for key, value in fields.items()}
            assert Brief.model_validate(renamed) == expected


def test_field_names_written_together_work() -> None:
    fields = {"caption": "x", "targetDuration": 42, "keyscale": "Am", "timesignature": 3}
    brief = Brief.model_validate(fields)
    assert (brief.key_scale, brief.time_signature) == ("A minor", 3)


@pytest.mark.parametrize("field", [*SOURCE_TASKS, *VALUES])
def test_field_examples_set_their_field(field: str) -> None:
    fields = example(field)
    if field == "src_audio":
        fields["src_audio"] = VALUES["src_audio"]
    assert getattr(Brief.model_validate(fields), field) == fields[field]


def test_field_with_two_values_under_two_names_is_refused() -> None:
    assert Brief.model_validate({"prompt": "x", "caption": "x", "duration": 10}).prompt == "x"
    fault = fault_of(caption="y")
    assert str(fault) == "caption: means prompt, which is also given; keep one of them"


LANGUAGE_MODEL_NAMES = [
    "thinking", "use_format", "sample_mode", "sample_query", "description", "use_cot_caption",
    "use_cot_language", "use_cot_metas", "cot-caption", "lm_temperature", "lmTopP", "lm_model_path",
    "lm_anything", "allow_lm_batch", "is_format_caption", "constrained_decoding", "useFormat",
    "sampleMode", "format",
]  # fmt: skip


@pytest.mark.parametrize("name", LANGUAGE_MODEL_NAMES)
def test_field_names_that_need_a_language_model_are_refused(name: str) -> None:
    fault = fault_of(**{name: "true"})
    assert fault.field == name
    assert fault.wrong.endswith("needs a language-model stage, which no model set has yet")
    assert fault.remedy.startswith("remove it")


@pytest.mark.parametrize("name", ["adapter", "adapter_name", "lora", "lora_path", "loraScale"])
def test_field_names_of_adapters_are_refused(name: str) -> None:
    assert fault_of(**{name: "warm-vinyl"}).wrong == "needs adapters, which no model set has yet"


@pytest.mark.parametrize(
    "off",
    [
        {"thinking": False},
        {"thinking": "false"},
        {"use_format": 0},
        {"sampleMode": "no"},
        {"use_cot_caption": False},
        {"lm_temperature": None},
        {"infer_method": "ode"},
        {"cfg_interval_start": "0"},
        {"cfg_interval_end": 1},
        {"use_tiled_decode": True},
        {"sample_query": ""},
    ],
)
def test_field_refusals_accept_the_value_that_turns_it_off(off: dict[str, object]) -> None:
    plain = Brief(prompt="x", duration=42)
    assert Brief.model_validate({"prompt": "x", "duration": 42, **off}) == plain


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("promt", "prompt"),
        ("durations", "duration"),
        ("lyric", "lyrics"),
        ("variatons", "variations"),
    ],
)
def test_nearest_recognises_a_misspelt_name(name: str, hint: str) -> None:
    assert fault_of(**{name: 1}).remedy == f"did you mean {hint}?"


def test_field_names_without_a_resemblance_are_refused() -> None:
    assert fault_of(zzz=1).wrong == "is not a field of a brief"
    assert fault_of(model="x").remedy.startswith("name the model set")
    assert fault_of(metas={"bpm": 90}).remedy == "write its fields directly in the brief"


@pytest.mark.parametrize("seed", [-1, "-1"], ids=["number", "text"])
def test_seed_of_minus_one_is_not_given(seed: object) -> None:
    assert Brief.model_validate({"prompt": "x", "duration": 42, "seed": seed}).seed is None


def test_switches_change_their_fields() -> None:
    base = {"prompt": "x", "duration": 42}
    assert Brief.model_validate(base | {"seed": 5, "useRandomSeed": "true"}).seed is None
    assert Brief.model_validate(base | {"seed": 5, "use_random_seed": False}).seed == 5
    assert Brief.model_validate(base | {"instrumental": True}).is_instrumental
    assert Brief.model_validate(base | {"instrumental": False, "lyrics": "la"}).lyrics == "la"
    assert fault_of(instrumental=True, lyrics="la").wrong == "contradicts the lyrics that are given"
    assert fault_of(use_random_seed="maybe").wrong == "'maybe' is neither true nor false"
    assert all(field_of(name) == name for name in SWITCHES)
