import pytest

from tests.worker.engine.builders import TrackFactory
from trackfarm.model_sets import model_set
from trackfarm.protocol.worker import FailureKind
from trackfarm_worker.engine.child.failure import EngineFailure
from trackfarm_worker.engine.child.recipe import build_recipe

TURBO, TINY = (model_set(name) for name in ("acestep-v15-turbo", "tiny"))
CODES = "<|audio_code_7|><|audio_code_63999|>" * 5


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
def test_recipe_refuses_values_out_of_range(
    track: TrackFactory, fields: dict[str, object], message: str
) -> None:
    failure = build_recipe(track(1, **fields), TURBO)
    assert isinstance(failure, EngineFailure)
    assert failure.kind == FailureKind.BAD_INPUT
    assert message in failure.message


def test_recipe_refuses_an_unsupported_task_and_names_the_supported_ones(
    track: TrackFactory,
) -> None:
    failure = build_recipe(track(1, task_type="extract"), TURBO)
    assert isinstance(failure, EngineFailure)
    assert failure.kind == FailureKind.UNSUPPORTED_TASK
    assert "it can do cover, cover-nofsq, repaint, text2music" in failure.message


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
        ({"repaint": {"strength": 1.5}}, "repaint strength must be 0 to 1"),
        ({"repaint": {"wav_crossfade_seconds": -0.1}}, "its crossfades 0 or more"),
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
def test_recipe_refuses_inputs_that_do_not_fit_the_task(
    track: TrackFactory, fields: dict[str, object], message: str
) -> None:
    length = 4 * 48_000 if "source" in fields else None
    failure = build_recipe(track(1, **fields), TINY, source_frames=length)
    assert isinstance(failure, EngineFailure)
    assert failure.kind == FailureKind.BAD_INPUT
    assert message in failure.message
