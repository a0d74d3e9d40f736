"""ACE-Step's parameters become one brief, by every name and with the documented defaults."""

import json
from typing import Any

import pytest

from trackfarm.catalog import Brief
from trackfarm.model_sets import model_set
from trackfarm_scheduler.acestep_api.parameters import flatten_parameters
from trackfarm_scheduler.acestep_api.translate import Translated, translate

TURBO, BASE = model_set("acestep-v15-turbo"), model_set("acestep-v15-base")
DRAWN = 4_294_967_295


def outcome(kind: Any = TURBO, seconds: float | None = None, **given: object) -> Any:
    fields = flatten_parameters({"prompt": "calm"} | given)
    return translate(fields, kind, draw=lambda: DRAWN, source_seconds=seconds)


def brief(kind: Any = TURBO, seconds: float | None = None, **given: object) -> Brief:
    found = outcome(kind, seconds, **given)
    assert not isinstance(found, list), found
    made: Brief = found.brief
    return made


def wrong(**given: Any) -> dict[str, str]:
    found = outcome(**given)
    assert isinstance(found, list), found
    return {fault.field: fault.wrong for fault in found}


def test_translate_applies_the_documented_defaults() -> None:
    made = brief()
    assert (made.variations, made.inference_steps, made.audio_format) == (2, 8, "mp3")
    assert (made.vocal_language, made.task_type, made.duration) == ("en", "text2music", 60)
    assert (made.guidance_scale, made.shift) == (None, None), "those of the model set"
    guided = brief(BASE)
    assert (guided.guidance_scale, guided.shift) == (7.0, 3.0)


def test_translate_obeys_a_shift_on_turbo_models() -> None:
    assert brief(shift=1).shift == 1.0


def test_translate_corrects_in_the_wavelet_domain_as_the_api_does() -> None:
    assert brief(BASE).dcw_enabled is True
    assert brief(dcw_enabled="false").dcw_enabled is False


def test_translate_passes_the_options_of_repaint_to_repaint_alone() -> None:
    options: dict[str, Any] = {
        "repaint_mode": "conservative",
        "repaint_strength": 0.2,
        "chunkMaskMode": "explicit",
    }
    window: dict[str, Any] = {
        "task_type": "repaint",
        "src_audio_path": "https://example.org/a.wav",
        "duration": 60,
    }
    made = brief(**window, repainting_start=5, **options)
    assert (made.repaint_mode, made.repaint_strength) == ("conservative", 0.5)
    assert made.chunk_mask_mode == "explicit"
    assert brief(**options) == brief()


def test_translate_obeys_the_samplers() -> None:
    found = outcome(BASE, timesteps="0.9,0.5,0", infer_method="sde", use_adg=True)
    assert isinstance(found, Translated)
    made = found.brief
    assert (made.timesteps, made.infer_method, made.use_adg) == ((0.9, 0.5), "sde", True)
    assert (made.inference_steps, made.shift) == (None, None)
    assert outcome(use_adg=True).ignored == ("use_adg",), "turbo has no guidance"


def test_translate_ignores_the_crossfades_that_ace_step_replaces() -> None:
    found = outcome(repaint_latent_crossfade_frames=10, repaint_wav_crossfade_sec=0.0)
    assert isinstance(found, Translated)
    assert found.ignored == ("repaint_latent_crossfade_frames", "repaint_wav_crossfade_sec")


@pytest.mark.parametrize("name", ["audio_duration", "duration", "audioDuration", "target_duration"])
def test_translate_accepts_every_alias(name: str) -> None:
    assert brief(**{name: 33}).duration == 33


def test_translate_accepts_camel_case() -> None:
    made = brief(
        prompt="",
        caption="bright",
        keyScale="Am",
        timeSignature="6/8",
        vocalLanguage="de",
        inferenceSteps="4",
        batchSize="3",
        audioFormat="WAV",
        useRandomSeed="false",
        seed="7",
    )
    assert (made.prompt, made.key_scale, made.time_signature) == ("bright", "A minor", 6)
    assert (made.vocal_language, made.inference_steps, made.variations) == ("de", 4, 3)
    assert (made.audio_format, made.seed) == ("wav", 7)


@pytest.mark.parametrize("name", ["metas", "metadata", "user_metadata", "userMetadata"])
@pytest.mark.parametrize("wrap", [dict, json.dumps], ids=["object", "text"])
def test_translate_reads_nested_metadata(name: str, wrap: Any) -> None:
    nested = wrap({"bpm": 90, "keyscale": "C major", "duration": 20, "genres": "pop"})
    made = brief(**{name: nested, "bpm": 120})
    assert (made.bpm, made.key_scale, made.duration) == (120, "C major", 20)


@pytest.mark.parametrize(
    ("given", "seed"),
    [
        ({}, DRAWN),
        ({"seed": -1, "use_random_seed": False}, DRAWN),
        ({"seed": 5}, DRAWN),  # use_random_seed is true unless it is said
        ({"seed": 5, "use_random_seed": False}, 5),
        ({"seed": "5", "use_random_seed": "false"}, 5),
    ],
)
def test_translate_draws_or_keeps_the_seed(given: dict[str, Any], seed: int) -> None:
    assert brief(**given).seed == seed


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"thinking": True}, "thinking"),
        ({"thinking": "true", "task_type": "lego", "track_name": "bass"}, "thinking"),
        ({"thinking": "perhaps"}, "thinking"),
        ({"useFormat": "1"}, "use_format"),
        ({"format": True}, "use_format"),
        ({"sample_mode": True}, "sample_mode"),
        ({"desc": "a love song"}, "sample_query"),
        ({"lm_temperature": 0.5}, "lm_temperature"),
        ({"lm_model_path": "acestep-5Hz-lm-1.7B"}, "lm_model_path"),
        ({"batch_size": 9}, "batch_size"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": "many"}, "batch_size"),
        ({"audio_duration": 601}, "duration"),
        ({"audio_duration": "long"}, "duration"),
        ({"inference_steps": 50}, "inference_steps"),
        ({"prompt": " "}, "prompt"),
        ({"bpm": 400}, "bpm"),
        ({"instruction": "Play it backwards"}, "instruction"),
        ({"task_type": "cover", "src_audio_path": "https://x.org/a.mp3"}, "audio_duration"),
        ({"lora_path": "x"}, "lora_path"),
    ],
)
def test_translate_refuses_unsupported_parameters_by_name(
    given: dict[str, object], field: str
) -> None:
    assert field in wrong(**given)


def test_translate_refuses_tasks_that_the_model_set_cannot_do() -> None:
    cover = {"task_type": "cover", "src_audio_path": "https://x.org/a.mp3"}
    (fault,) = outcome(model_set("demo"), 30, **cover)
    assert str(fault) == (
        "task_type: demo cannot do cover, only repaint, text2music;"
        " change the task or the model set"
    )


def test_translate_accepts_idle_language_model_settings() -> None:
    made = brief(
        thinking=False,
        use_format="false",
        sample_mode=0,
        use_cot_caption=True,
        cot_language="false",
        constrained_decoding=True,
        allow_lm_batch=True,
        lm_temperature=0.85,
        lm_cfg_scale="2.5",
        lm_negative_prompt="NO USER INPUT",
        lm_top_k=0,
        lm_top_p=0.9,
        lm_repetition_penalty=1.0,
        lm_backend="pt",
        infer_method="ode",
        use_adg=False,
        cfg_interval_start=0.0,
        cfg_interval_end=1.0,
        instruction="Fill the audio semantic mask based on the given conditions:",
        key_scale="",
        bpm=None,
        audio_duration=-1,
        repainting_end=-1,
    )
    assert made == brief()


def test_translate_names_ignored_parameters() -> None:
    found = outcome(audio_code_string="<|audio_code_1|>", guidance_scale=5, mood="blue", tags="a")
    assert found.ignored == ("audio_code_string", "guidance_scale", "mood", "tags")
    assert found.brief == brief()


def test_translate_takes_the_duration_of_the_source() -> None:
    source = {"task_type": "repaint", "src_audio_path": "upload:" + "ab" * 32}
    whole = brief(seconds=42.5, **source, duration=20, thinking=True)
    assert (whole.duration, whole.repainting_start, whole.repainting_end) == (42.5, 0, 42.5)
    part = brief(seconds=42.5, **source, repainting_start="5", repainting_end="-1")
    assert (part.repainting_start, part.repainting_end) == (5, 42.5)
