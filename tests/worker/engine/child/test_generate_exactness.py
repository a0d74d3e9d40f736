"""Independence of batched tracks: each equals the same track made alone."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.worker.engine.builders import tiny_pipeline
from tests.worker.engine.mixtures import Sounds, mixture
from trackfarm.model_sets import model_set
from trackfarm_worker.engine.child import conditioning
from trackfarm_worker.engine.child.attention import Masks
from trackfarm_worker.engine.child.conditioning import Conditioner, Ground
from trackfarm_worker.engine.child.decoder import Decoder
from trackfarm_worker.engine.child.denoiser import Denoiser
from trackfarm_worker.engine.child.optimize import fold_weight_norm
from trackfarm_worker.engine.child.padding import Rows, Tracks
from trackfarm_worker.engine.child.recipe import EngineJob, engine_job
from trackfarm_worker.engine.child.text_encoder import Tokens, tokenised
from trackfarm_worker.engine.protocol import EngineTrack

TINY = model_set("tiny")
TINY_WINDOW = 8  # tokens to each side in the sliding layers of `tiny`
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Bench:
    conditioner: Conditioner
    denoiser: Denoiser
    decoder: Decoder

    def grounds(self, tracks: list[EngineTrack]) -> list[Ground]:
        jobs = [engine_job(track, TINY, "") for track in tracks]
        assert all(isinstance(made, EngineJob) for made in jobs), jobs
        return [self.conditioner.ground(made) for made in jobs if isinstance(made, EngineJob)]

    def latents(self, grounds: list[Ground]) -> list[torch.Tensor]:
        made, _ = self.denoiser.denoise(self.conditioner.materials(grounds), lambda *_: ())
        return [latents for latents in made if latents is not None]

    def audio(self, latents: list[torch.Tensor]) -> list[torch.Tensor]:
        whole = dict(self.decoder.decode(dict(enumerate(latents)), lambda *_: ()))
        return [whole[place] for place in range(len(latents))]

    def error(self, grounds: list[Ground]) -> float:
        """Return the largest difference between the latents of the batch and of its tracks made one
        by one."""
        together = self.latents(grounds)
        assert len(together) == len(grounds)
        alone = [self.latents([ground])[0] for ground in grounds]
        return max(map(difference, together, alone))


def difference(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return the largest difference, relative to the largest value if that is above 1: latents
    reach about 7."""
    assert one.shape == other.shape
    return float((one - other).abs().max() / other.abs().max().clamp(min=1.0))


@pytest.fixture(scope="module")
def bench(models: Path) -> Bench:
    pipeline = tiny_pipeline(models)
    fold_weight_norm(pipeline.vae)
    decoder = Decoder(pipeline.vae, window=64, at_once=3)
    return Bench(Conditioner(pipeline), Denoiser(pipeline), decoder)


def check(
    bench: Bench, seed: int, sounds: Sounds, *, seconds: tuple[float, float], heard: int
) -> None:
    """Compare all latents, and the audio of the first tracks."""
    grounds = bench.grounds(mixture(seed, sounds, tracks=9, seconds=seconds))
    before = torch.random.get_rng_state()
    together = bench.latents(grounds)
    alone = [bench.latents([ground])[0] for ground in grounds]
    assert max(map(difference, together, alone)) < TOLERANCE
    audio = bench.audio(together[:heard])
    ours = [bench.audio([latents])[0] for latents in alone[:heard]]
    assert max(map(difference, audio, ours)) < TOLERANCE
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("seed", range(3))
def test_tracks_of_a_mixed_batch_equal_themselves(bench: Bench, sounds: Sounds, seed: int) -> None:
    check(bench, seed, sounds, seconds=(2.0, 6.0), heard=3)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 130))
def test_tracks_of_thirty_mixed_batches_equal_themselves(
    bench: Bench, sounds: Sounds, seed: int
) -> None:
    check(bench, seed, sounds, seconds=(10.0, 60.0), heard=9)


Mutation = Callable[[pytest.MonkeyPatch], None]


def without_mask(name: str) -> Mutation:
    def mutate(patch: pytest.MonkeyPatch) -> None:
        fill = Masks.fill

        def forgetful(masks: Masks, tokens: torch.Tensor, conditions: torch.Tensor) -> None:
            fill(masks, tokens, conditions)
            if name == "sliding":
                near = Masks(TINY_WINDOW)
                fill(near, tokens.max().expand_as(tokens), conditions)
                masks.sliding = near.sliding
            else:
                setattr(masks, name, None)

        patch.setattr(Masks, "fill", forgetful)

    return mutate


def with_tracks(change: Callable[[Tracks], None]) -> Mutation:
    def mutate(patch: pytest.MonkeyPatch) -> None:
        begin = Tracks.__init__

        def changed(tracks: Tracks, *args: Any) -> None:
            begin(tracks, *args)
            change(tracks)

        patch.setattr(Tracks, "__init__", changed)

    return mutate


def company(tracks: Tracks) -> float:
    return 1.0 if len(tracks.lengths) > 1 else 0.0


def velocity_in_the_padding(tracks: Tracks) -> None:
    tracks.valid = torch.ones_like(tracks.valid)


def noise_in_the_padding(tracks: Tracks) -> None:
    tracks.noise = tracks.noise + ~tracks.valid * company(tracks)


def context_in_the_padding(patch: pytest.MonkeyPatch) -> None:
    rows = Tracks.rows

    def filled(tracks: Tracks, places: list[int]) -> Rows:
        made = rows(tracks, places)
        beyond = ~tracks.valid[made.places, : made.frames][made.owner]
        return replace(made, context=made.context + beyond * company(tracks))

    patch.setattr(Tracks, "rows", filled)


def every_token_counts(patch: pytest.MonkeyPatch) -> None:
    def unmasked(*args: Any) -> Tokens:
        tokens = tokenised(*args)
        return replace(tokens, mask=torch.ones_like(tokens.mask))

    patch.setattr(conditioning, "tokenised", unmasked)


MUTATIONS: dict[str, Mutation] = {
    "no mask over other tracks' conditions": without_mask("cross"),
    "no padding mask in full layers": without_mask("full"),
    "no padding mask in sliding layers": without_mask("sliding"),
    "velocity not masked": with_tracks(velocity_in_the_padding),
    "noise in the padding": with_tracks(noise_in_the_padding),
    "context in the padding": context_in_the_padding,
    "no mask over text and lyrics": every_token_counts,
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_nothing_of_this_can_be_left_out(
    bench: Bench, sounds: Sounds, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    grounds = bench.grounds(mixture(1, sounds, tracks=9, seconds=(2.0, 6.0)))
    assert bench.error(grounds) < TOLERANCE
    MUTATIONS[name](monkeypatch)
    assert bench.error(grounds) > 1e-4


def test_repeated_heads_attend_like_grouped_ones(models: Path, sounds: Sounds) -> None:
    pipeline = tiny_pipeline(models)
    conditioner = Conditioner(pipeline)
    made = []
    for expand_heads in (False, True):
        denoiser = Denoiser(pipeline, expand_heads=expand_heads)
        bench = Bench(conditioner, denoiser, Decoder(pipeline.vae))
        made.append(bench.latents(bench.grounds(mixture(9, sounds, tracks=3, seconds=(1, 2)))))
    assert max(map(difference, *made)) < TOLERANCE


def test_a_global_seed_changes_nothing(bench: Bench, sounds: Sounds) -> None:
    tracks = mixture(7, sounds, tracks=3, seconds=(1.0, 2.0))
    made = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        bench.conditioner.sounds.forget()
        made.append(bench.latents(bench.grounds(tracks)))
    assert all(torch.equal(one, two) for one, two in zip(*made, strict=True))
