"""Independence of batched tracks: each equals the same track made alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.worker.engine.builders import built_in_pipeline, tiny_pipeline
from tests.worker.engine.mixtures import KINDS, SourceFiles, mixture
from trackfarm.model_sets import ModelSet, model_set
from trackfarm_worker.engine.child import conditioning
from trackfarm_worker.engine.child.attention import Masks
from trackfarm_worker.engine.child.conditioning import Conditioner, EncodedInputs
from trackfarm_worker.engine.child.decoder import Decoder
from trackfarm_worker.engine.child.denoiser import Denoiser
from trackfarm_worker.engine.child.optimize import fold_weight_norm
from trackfarm_worker.engine.child.padding import PaddedBatch, Rows, RowWork
from trackfarm_worker.engine.child.recipe import TrackTry, first_try
from trackfarm_worker.engine.child.text_encoder import Tokens, tokenise
from trackfarm_worker.engine.protocol import EngineTrack

TINY = model_set("tiny")
WINDOW = 8  # tokens to each side in the sliding layers of `tiny` and `demo`
DEMO_KINDS = ("text2music", "repaint", "reference")
TOLERANCE = 1e-5


@dataclass(frozen=True)
class EngineParts:
    conditioner: Conditioner
    denoiser: Denoiser
    decoder: Decoder
    model_set: ModelSet = TINY

    def mixture(self, seed: int, sounds: SourceFiles, **size: Any) -> list[EngineTrack]:
        """Return tracks of every kind that the model set can make."""
        kinds = KINDS if self.model_set is TINY else DEMO_KINDS
        return mixture(seed, sounds, kinds=kinds, **size)

    def encode(self, requests: list[EngineTrack]) -> list[EncodedInputs]:
        tries = [first_try(request, self.model_set, "") for request in requests]
        assert all(isinstance(track, TrackTry) for track in tries), tries
        return [
            self.conditioner.encode_inputs(track) for track in tries if isinstance(track, TrackTry)
        ]

    def latents(self, encoded: list[EncodedInputs]) -> list[torch.Tensor]:
        denoised, _ = self.denoiser.denoise(self.conditioner.condition(encoded), lambda *_: ())
        return [latents for latents in denoised if latents is not None]

    def audio(self, latents: list[torch.Tensor]) -> list[torch.Tensor]:
        whole = dict(self.decoder.decode(dict(enumerate(latents)), lambda *_: ()))
        return [whole[position] for position in range(len(latents))]

    def error(self, encoded: list[EncodedInputs]) -> float:
        """Return the largest difference between the latents of the batch and of its tracks made one
        by one."""
        together = self.latents(encoded)
        assert len(together) == len(encoded)
        alone = [self.latents([inputs])[0] for inputs in encoded]
        return max(map(difference, together, alone))


def difference(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return the largest difference, relative to the largest value if that is above 1: latents
    reach about 7."""
    assert one.shape == other.shape
    return float((one - other).abs().max() / other.abs().max().clamp(min=1.0))


@pytest.fixture(scope="module", params=["tiny", "demo"])
def parts(models: Path, request: pytest.FixtureRequest) -> EngineParts:
    pipeline = built_in_pipeline(request.param, models)
    fold_weight_norm(pipeline.vae)
    decoder = Decoder(pipeline.vae, window=64, windows_per_pass=3)
    conditioner, denoiser = Conditioner(pipeline), Denoiser(pipeline)
    return EngineParts(conditioner, denoiser, decoder, model_set(request.param))


def check(
    parts: EngineParts,
    seed: int,
    sounds: SourceFiles,
    *,
    seconds: tuple[float, float],
    audible_tracks: int,
) -> None:
    """Compare all latents, and the audio of the first tracks."""
    encoded = parts.encode(parts.mixture(seed, sounds, tracks=9, seconds=seconds))
    before = torch.random.get_rng_state()
    together = parts.latents(encoded)
    alone = [parts.latents([inputs])[0] for inputs in encoded]
    assert max(map(difference, together, alone)) < TOLERANCE
    audio = parts.audio(together[:audible_tracks])
    audio_alone = [parts.audio([latents])[0] for latents in alone[:audible_tracks]]
    assert max(map(difference, audio, audio_alone)) < TOLERANCE
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("seed", range(3))
def test_batch_equals_its_tracks_made_alone(
    parts: EngineParts, sounds: SourceFiles, seed: int
) -> None:
    check(parts, seed, sounds, seconds=(2.0, 6.0), audible_tracks=3)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 130))
def test_batches_of_long_tracks_equal_their_tracks_made_alone(
    parts: EngineParts, sounds: SourceFiles, seed: int
) -> None:
    check(parts, seed, sounds, seconds=(10.0, 60.0), audible_tracks=9)


Mutation = Callable[[pytest.MonkeyPatch], None]


def without_mask(name: str) -> Mutation:
    def mutate(patch: pytest.MonkeyPatch) -> None:
        fill = Masks.fill

        def forgetful(masks: Masks, tokens: torch.Tensor, conditions: torch.Tensor) -> None:
            fill(masks, tokens, conditions)
            if name == "sliding":
                near = Masks(WINDOW)
                fill(near, tokens.max().expand_as(tokens), conditions)
                masks.sliding = near.sliding
            else:
                setattr(masks, name, None)

        patch.setattr(Masks, "fill", forgetful)

    return mutate


def with_tracks(change: Callable[[PaddedBatch], None]) -> Mutation:
    def mutate(patch: pytest.MonkeyPatch) -> None:
        begin = PaddedBatch.__init__

        def changed(tracks: PaddedBatch, *args: Any) -> None:
            begin(tracks, *args)
            change(tracks)

        patch.setattr(PaddedBatch, "__init__", changed)

    return mutate


def is_shared(tracks: PaddedBatch) -> float:
    return 1.0 if len(tracks.lengths) > 1 else 0.0


def velocity_in_the_padding(tracks: PaddedBatch) -> None:
    tracks.valid = torch.ones_like(tracks.valid)


def noise_in_the_padding(tracks: PaddedBatch) -> None:
    tracks.start = tracks.start + ~tracks.valid * is_shared(tracks)


def context_in_the_padding(patch: pytest.MonkeyPatch) -> None:
    rows = PaddedBatch.rows

    def filled(tracks: PaddedBatch, works: Sequence[RowWork]) -> Rows:
        pass_rows = rows(tracks, works)
        beyond = ~tracks.valid[pass_rows.positions, : pass_rows.frames][pass_rows.owner]
        return replace(pass_rows, context=pass_rows.context + beyond * is_shared(tracks))

    patch.setattr(PaddedBatch, "rows", filled)


def every_token_counts(patch: pytest.MonkeyPatch) -> None:
    def unmasked(*args: Any) -> Tokens:
        tokens = tokenise(*args)
        return replace(tokens, mask=torch.ones_like(tokens.mask))

    patch.setattr(conditioning, "tokenise", unmasked)


MUTATIONS: dict[str, Mutation] = {
    "no mask over other tracks' conditions": without_mask("cross"),
    "no padding mask in full layers": without_mask("full"),
    "no padding mask in sliding layers": without_mask("sliding"),
    "velocity not masked": with_tracks(velocity_in_the_padding),
    "noise in the padding": with_tracks(noise_in_the_padding),
    "context in the padding": context_in_the_padding,
    "no mask over text and lyrics": every_token_counts,
}


# It has no full layers, and predicts no velocity where its clock is missing.
UNHEARD_BY_DEMO = ("no padding mask in full layers", "velocity not masked")


@pytest.mark.parametrize("name", MUTATIONS)
def test_batch_differs_from_its_tracks_without_this(
    parts: EngineParts, sounds: SourceFiles, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    if parts.model_set.name == "demo" and name in UNHEARD_BY_DEMO:
        pytest.skip("makes no difference to demo")
    encoded = parts.encode(parts.mixture(1, sounds, tracks=9, seconds=(2.0, 6.0)))
    assert parts.error(encoded) < TOLERANCE
    MUTATIONS[name](monkeypatch)
    assert parts.error(encoded) > 1e-4


def test_expanded_heads_attend_like_grouped_ones(models: Path, sounds: SourceFiles) -> None:
    pipeline = tiny_pipeline(models)
    conditioner = Conditioner(pipeline)
    latents = []
    for expand_heads in (False, True):
        denoiser = Denoiser(pipeline, expand_heads=expand_heads)
        parts = EngineParts(conditioner, denoiser, Decoder(pipeline.vae))
        latents.append(parts.latents(parts.encode(mixture(9, sounds, tracks=3, seconds=(1, 2)))))
    assert max(map(difference, *latents)) < TOLERANCE


def test_batch_ignores_the_global_seed(parts: EngineParts, sounds: SourceFiles) -> None:
    tracks = parts.mixture(7, sounds, tracks=3, seconds=(1.0, 2.0))
    latents = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        parts.conditioner.source_encoder.clear_cache()
        latents.append(parts.latents(parts.encode(tracks)))
    assert all(torch.equal(one, two) for one, two in zip(*latents, strict=True))
