import pytest

from tests.worker.engine.builders import TrackFactory
from trackfarm.model_sets import ModelSet, model_set
from trackfarm_worker.engine.child.recipe import Recipe, build_recipe, latent_frames
from trackfarm_worker.engine.child.wavelet import Correction
from trackfarm_worker.engine.track_options import CorrectionOptions

TURBO, SFT, TINY = (model_set(name) for name in ("acestep-v15-turbo", "acestep-v15-sft", "tiny"))


def recipe_of(track: TrackFactory, rules: ModelSet, **fields: object) -> Recipe:
    recipe = build_recipe(track(1, **fields), rules)
    assert isinstance(recipe, Recipe)
    return recipe


def test_recipe_fills_in_the_defaults_of_the_model_set(track: TrackFactory) -> None:
    recipe = build_recipe(track(1, steps=None, duration=1.5), SFT)
    assert isinstance(recipe, Recipe)
    assert (recipe.steps, recipe.guidance, recipe.shift, recipe.frames) == (50, 7.0, 3.0, 72_000)
    assert recipe.time_signature is None


def test_recipe_prefers_the_values_of_the_track(track: TrackFactory) -> None:
    recipe = build_recipe(track(1, steps=5, guidance=2.5, shift=1.5, time_signature=6), SFT)
    assert isinstance(recipe, Recipe)
    assert (recipe.steps, recipe.guidance, recipe.shift) == (5, 2.5, 1.5)
    assert recipe.time_signature == "6"


def test_recipe_of_a_distilled_model_is_never_guided(track: TrackFactory) -> None:
    recipe = build_recipe(track(1, guidance=7.0), TURBO)
    assert isinstance(recipe, Recipe)
    assert recipe.guidance == 1.0


CODES = "<|audio_code_7|><|audio_code_63999|>" * 5


def test_recipe_takes_the_length_of_the_source_or_codes(track: TrackFactory) -> None:
    source = build_recipe(
        track(1, task_type="complete", source="a.npy", duration=60.0), TINY, source_frames=96_001
    )
    assert isinstance(source, Recipe)
    assert (source.duration, source.frames) == (96_001 / 48_000, 96_001)
    assert latent_frames(source.duration, 25) == 51
    codes = build_recipe(track(1, audio_codes=CODES, duration=60.0), TINY)
    assert isinstance(codes, Recipe)
    assert (codes.task, codes.duration, latent_frames(codes.duration, 25)) == ("cover", 2.0, 50)
    assert latent_frames(0.28, 25) == 7


def test_recipe_passes_grow_with_guidance_alone(track: TrackFactory) -> None:
    kinds: list[tuple[dict[str, object], int]] = [
        ({"guidance": 1.0}, 1),
        ({"guidance": 4.0}, 2),
        ({"guidance": 1.0, "cover_strength": 0.5, "audio_codes": CODES}, 1),
        ({"guidance": 4.0, "cover_strength": 0.5, "audio_codes": CODES}, 2),
    ]
    for fields, passes in kinds:
        assert recipe_of(track, TINY, **fields).passes == passes


@pytest.mark.parametrize(("strength", "steps"), [(1.0, 8), (0.7, 5), (0.5, 4), (0.1, 0), (0.0, 0)])
def test_recipe_follows_codes_for_the_whole_steps_of_its_strength(
    track: TrackFactory, strength: float, steps: int
) -> None:
    fields: dict[str, object] = {"audio_codes": CODES, "cover_strength": strength, "steps": 8}
    assert recipe_of(track, TINY, **fields).followed_steps == steps


@pytest.mark.parametrize(("lyrics", "words"), [("", "[Instrumental]"), ("la", "la")])
def test_recipe_without_lyrics_says_so_to_the_model(
    track: TrackFactory, lyrics: str, words: str
) -> None:
    assert recipe_of(track, TINY, lyrics=lyrics).lyrics == words


def test_recipe_corrects_by_the_default_of_the_model_set(track: TrackFactory) -> None:
    off = CorrectionOptions(enabled=False)
    assert recipe_of(track, TURBO).correction == Correction("double", 0.05, 0.02)
    assert recipe_of(track, TURBO, correction=off).correction is None
    assert recipe_of(track, SFT).correction is None
    on = CorrectionOptions(enabled=True, mode="low", scaler=0.1)
    assert recipe_of(track, SFT, correction=on).correction == Correction("low", 0.1, 0.02)


def test_recipe_of_a_distilled_model_obeys_a_shift(track: TrackFactory) -> None:
    assert recipe_of(track, TURBO, steps=2, shift=1.0).levels == (1.0, 0.5, 0.0)
    assert recipe_of(track, TURBO, steps=2, shift=None).levels == (1.0, 0.75, 0.0)


def test_recipe_has_at_most_three_seeds_and_at_least_one(track: TrackFactory) -> None:
    recipe = [build_recipe(track(1, seed=9, seeds=seeds), TINY) for seeds in [(9, 8, 7, 6), ()]]
    assert [one.seeds for one in recipe if isinstance(one, Recipe)] == [(9, 8, 7), (9,)]
