"""Every kind of track equals the result of diffusers' own pipeline for it, one at a time.

Compared only where that pipeline is right: it gets the mean of the VAE's posterior, a source of
whole latents, and texts that fit. Where it differs from ACE-Step's own code, test_denoiser_parity.py
compares with that code. diffusers 0.42.1, pipelines/ace_step/pipeline_ace_step.py:

- `__call__` blends the velocities of a cover of less than full strength at every step; ACE-Step
  switches once (models/turbo/modeling_acestep_v15_turbo.py, `cover_steps`).
- `_build_chunk_mask` marks the window of repaint and lego; ACE-Step does so if it is told to
  (core/generation/handler/conditioning_masks.py), and puts the source back around it.
- There are neither the samplers nor the other guidance of ACE-Step (`sampler_mode`, `infer_method`,
  `use_adg`), nor covers without tokens.
- There is no correction in the wavelet domain (ACE-Step: models/common/dcw_correction.py).
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models.autoencoders.autoencoder_oobleck import OobleckDiagonalGaussianDistribution

from tests.worker.engine.builders import tiny_pipeline
from tests.worker.engine.engine_fixture import TINY
from tests.worker.engine.mixtures import KINDS, SourceFiles, mixture
from trackfarm_worker.engine.child.conditioning import Conditioner
from trackfarm_worker.engine.child.denoiser import Denoiser
from trackfarm_worker.engine.child.recipe import Recipe, TrackTry, first_try
from trackfarm_worker.engine.protocol import EngineTrack
from trackfarm_worker.engine.track_options import (
    CorrectionOptions,
    RepaintOptions,
    SamplerOptions,
    StartOptions,
)


@pytest.fixture(scope="module")
def whole(sounds: SourceFiles, tmp_path_factory: pytest.TempPathFactory) -> SourceFiles:
    path = tmp_path_factory.mktemp("whole") / "source.npy"
    np.save(path, np.load(sounds.source)[: 99 * 1920])
    return SourceFiles(path, sounds.reference)


@pytest.fixture(autouse=True)
def mean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        OobleckDiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mean
    )


def audio(path: Path | None) -> torch.Tensor | None:
    return None if path is None else torch.from_numpy(np.load(path)).T


def as_stock(track: EngineTrack) -> EngineTrack:
    return track.model_copy(
        update={
            # It knows no other kind of cover.
            "task_type": "cover" if track.task_type == "cover-nofsq" else track.task_type,
            "cover_strength": 1.0,
            "sampler": SamplerOptions(),
            "start": StartOptions(),
            "correction": CorrectionOptions(enabled=False),
            "repaint": RepaintOptions(mode="aggressive", chunk_mask_mode="explicit"),
        }
    )


def stock_latents(
    stock: Any, track: EngineTrack, recipe: Recipe, noise: torch.Tensor
) -> torch.Tensor:
    codes = "".join(f"<|audio_code_{code}|>" for code in recipe.codes) or None
    latents: torch.Tensor = stock(
        prompt=recipe.prompt,
        lyrics=recipe.lyrics,
        audio_duration=None if recipe.source or codes else recipe.duration,
        vocal_language=recipe.vocal_language,
        num_inference_steps=recipe.steps,
        guidance_scale=recipe.guidance,
        shift=recipe.shift,
        bpm=recipe.bpm,
        # For some lengths it would draw one frame too many: 245 / 25 * 25 is above 245.
        latents=noise[None],
        task_type=recipe.task,
        src_audio=audio(recipe.source),
        reference_audio=audio(recipe.reference),
        audio_codes=codes,
        repainting_start=track.repainting_start,
        repainting_end=track.repainting_end,
        track_name=recipe.track_name,
        complete_track_classes=list(recipe.track_classes),
        output_type="latent",
    ).audios[0]
    return latents


def test_tracks_of_every_kind_equal_those_of_the_stock_pipeline(
    models: Path, stock: Any, whole: SourceFiles
) -> None:
    own = tiny_pipeline(models)
    conditioner, denoiser = Conditioner(own), Denoiser(own)
    tracks = [*map(as_stock, mixture(10, whole, tracks=len(KINDS), seconds=(2.0, 4.0)))]
    tries = [first_try(track, TINY, "") for track in tracks]
    encoded = [conditioner.encode_inputs(one) for one in tries if isinstance(one, TrackTry)]
    denoised, _ = denoiser.denoise(conditioner.condition(encoded), lambda *_: ())
    for track, one, inputs, latents in zip(tracks, tries, encoded, denoised, strict=True):
        assert isinstance(one, TrackTry)
        assert latents is not None
        drawn = torch.randn((1, *latents.shape), generator=torch.Generator().manual_seed(one.seed))
        assert torch.equal(inputs.noise, drawn[0])
        expected = stock_latents(stock, track, one.recipe, drawn[0])
        assert latents.shape == expected.shape
        scale = max(1.0, float(expected.abs().max()))
        assert float((latents - expected).abs().max()) / scale < 1e-5, one.recipe
