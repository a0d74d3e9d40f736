import pytest

from tests.worker.engine.conftest import TrackFactory
from trackfarm.model_sets import model_set
from trackfarm.wire import FailureKind
from trackfarm_worker.engine.recipe import Recipe, Refusal, recipe

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
    assert isinstance(refusal, Refusal)
    assert refusal.kind == FailureKind.BAD_INPUT
    assert message in refusal.message


def test_a_task_is_refused_by_what_is_missing(track: TrackFactory) -> None:
    by_model = recipe(track(1, task_type="extract"), TURBO)
    by_engine = recipe(track(1, task_type="extract"), TINY)
    assert isinstance(by_model, Refusal)
    assert isinstance(by_engine, Refusal)
    assert by_model.kind == by_engine.kind == FailureKind.UNSUPPORTED_TASK
    assert "it can do cover, repaint, text2music" in by_model.message
    assert "needs source audio" in by_engine.message
