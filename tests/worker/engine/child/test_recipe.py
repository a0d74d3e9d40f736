import pytest

from tests.worker.engine.builders import TrackFactory
from trackfarm.model_sets import model_set
from trackfarm.protocol.worker import FailureKind
from trackfarm_worker.engine.child.recipe import Recipe, RecipeRefusal, latents, recipe

TURBO, SFT, TINY = (model_set(name) for name in ("acestep-v15-turbo", "acestep-v15-sft", "tiny"))


def test_what_is_not_said_is_the_model_sets_default(track: TrackFactory) -> None:
    made = recipe(track(1, steps=None, duration=1.5), SFT)
    assert isinstance(made, Recipe)
    assert (made.steps, made.guidance, made.shift, made.frames) == (50, 7.0, 3.0, 72_000)
    assert made.time_signature is None


def test_what_is_said_wins(track: TrackFactory) -> None:
    made = recipe(track(1, steps=5, guidance=2.5, shift=1.5, time_signature=6), SFT)
    assert isinstance(made, Recipe)
    assert (made.steps, made.guidance, made.shift) == (5, 2.5, 1.5)
    assert made.time_signature == "6"


def test_distilled_models_are_never_guided(track: TrackFactory) -> None:
    made = recipe(track(1, guidance=7.0), TURBO)
    assert isinstance(made, Recipe)
    assert made.guidance == 1.0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"duration": 0.0}, "duration must be above 0"),
        ({"duration": 1e-6}, "duration must be above 0"),
        ({"duration": 600.1}, "at most 600 s, got 600.1"),
        ({"steps": 0}, "steps must be 1 to 20 for acestep-v15-turbo, got 0"),
        ({"steps": 21}, "got 21"),
        ({"guidance": -1.0}, "guidance"),
        ({"shift": 0.0}, "shift"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
    ],
)
def test_values_out_of_range_are_refused(
    track: TrackFactory, fields: dict[str, object], message: str
) -> None:
    refusal = recipe(track(1, **fields), TURBO)
    assert isinstance(refusal, RecipeRefusal)
    assert refusal.kind == FailureKind.BAD_INPUT
    assert message in refusal.message


def test_a_task_that_the_model_set_lacks_is_refused_with_those_it_has(track: TrackFactory) -> None:
    refusal = recipe(track(1, task_type="extract"), TURBO)
    assert isinstance(refusal, RecipeRefusal)
    assert refusal.kind == FailureKind.UNSUPPORTED_TASK
    assert "it can do cover, repaint, text2music" in refusal.message


CODES = "<|audio_code_7|><|audio_code_63999|>" * 5


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"task_type": "extract"}, "'extract' needs source audio"),
        ({"task_type": "cover"}, "'cover' needs source audio or audio codes"),
        ({"source": "a.npy"}, "'text2music' takes no source audio"),
        ({"task_type": "lego", "source": "a.npy", "audio_codes": CODES}, "takes no audio codes"),
        ({"task_type": "cover", "source": "a.npy", "audio_codes": CODES}, "exclude each other"),
        ({"audio_codes": "la la"}, "contains no audio code"),
        ({"audio_codes": "<|audio_code_64000|>"}, "must be below 64000, got 64000"),
        ({"cover_strength": 1.5}, "cover_strength must be 0 to 1, got 1.5"),
        ({"loudness_lufs": 3.0}, "loudness must be -70 to 0 LUFS, got 3.0"),
        ({"seeds": (1, -2)}, "a seed must be"),
        (
            {"task_type": "repaint", "source": "a.npy", "repainting_start": 4.0},
            "repainting must begin at 0 to 4 s and end later, got 4 to 4 s",
        ),
        (
            {
                "task_type": "lego",
                "source": "a.npy",
                "repainting_start": 2.0,
                "repainting_end": 1.0,
            },
            "got 2 to 1 s",
        ),
    ],
)
def test_what_does_not_fit_the_task_is_refused(
    track: TrackFactory, fields: dict[str, object], message: str
) -> None:
    length = 4 * 48_000 if "source" in fields else None
    refusal = recipe(track(1, **fields), TINY, source_frames=length)
    assert isinstance(refusal, RecipeRefusal)
    assert refusal.kind == FailureKind.BAD_INPUT
    assert message in refusal.message


def test_a_source_and_codes_say_how_long_a_track_is(track: TrackFactory) -> None:
    source = recipe(
        track(1, task_type="complete", source="a.npy", duration=60.0), TINY, source_frames=96_001
    )
    assert isinstance(source, Recipe)
    assert (source.duration, source.frames) == (96_001 / 48_000, 96_001)
    assert latents(source.duration, 25) == 51
    codes = recipe(track(1, audio_codes=CODES, duration=60.0), TINY)
    assert isinstance(codes, Recipe)
    assert (codes.task, codes.duration, latents(codes.duration, 25)) == ("cover", 2.0, 50)
    assert latents(0.28, 25) == 7


def test_passes_are_counted_by_guidance_and_blend(track: TrackFactory) -> None:
    kinds: list[tuple[dict[str, object], int]] = [
        ({"guidance": 1.0}, 1),
        ({"guidance": 4.0}, 2),
        ({"guidance": 1.0, "cover_strength": 0.5}, 1),
        ({"guidance": 4.0, "cover_strength": 0.5, "audio_codes": CODES}, 3),
    ]
    for fields, passes in kinds:
        made = recipe(track(1, **fields), TINY)
        assert isinstance(made, Recipe)
        assert made.passes == passes


def test_three_seeds_are_tried_and_one_without_any(track: TrackFactory) -> None:
    made = [recipe(track(1, seed=9, seeds=seeds), TINY) for seeds in [(9, 8, 7, 6), ()]]
    assert [one.seeds for one in made if isinstance(one, Recipe)] == [(9, 8, 7), (9,)]
