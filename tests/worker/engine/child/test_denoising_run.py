"""Passes through the model: how many, and with how many rows."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.worker.engine.builders import TrackFactory, tiny_pipeline
from tests.worker.engine.engine_fixture import TINY, before_forward
from trackfarm_worker.engine.child.conditioning import Conditioner, Conditioning
from trackfarm_worker.engine.child.denoiser import Denoiser
from trackfarm_worker.engine.child.denoising_run import DenoisingRun
from trackfarm_worker.engine.child.padding import PaddedBatch
from trackfarm_worker.engine.child.recipe import TrackTry, first_try


@pytest.fixture(scope="module")
def pipeline(models: Path) -> Any:
    return tiny_pipeline(models)


def conditionings(pipeline: Any, *tracks: Any) -> list[Conditioning]:
    conditioner = Conditioner(pipeline)
    tries = [first_try(track, TINY, "") for track in tracks]
    inputs = [conditioner.encode_inputs(one) for one in tries if isinstance(one, TrackTry)]
    return conditioner.condition(inputs)


def rows_of_passes(pipeline: Any, *tracks: Any) -> list[int]:
    """Return the number of rows of each pass through the model."""
    denoiser, rows = Denoiser(pipeline), []
    with before_forward(pipeline.transformer, lambda kwargs: rows.append(len(kwargs["timestep"]))):
        denoiser.denoise(conditionings(pipeline, *tracks), lambda *_: ())
    return rows


def test_run_evaluates_twice_for_second_order_steps_alone(
    pipeline: Any, track: TrackFactory
) -> None:
    heun = {"sampler": {"sampler_mode": "heun"}}
    assert rows_of_passes(pipeline, track(1, steps=3), track(2, steps=3, **heun)) == [2, 1] * 3


def test_run_has_no_rows_for_guidance_outside_its_interval(
    pipeline: Any, track: TrackFactory
) -> None:
    interval = {"sampler": {"cfg_interval_start": 0.3, "cfg_interval_end": 0.8}}
    guided = track(1, steps=4, shift=1.0, guidance=3.0, **interval)
    assert rows_of_passes(pipeline, guided) == [1, 2, 2, 1]


def test_run_of_a_cover_at_half_strength_has_one_row(pipeline: Any, track: TrackFactory) -> None:
    codes = "<|audio_code_7|>" * 10
    half = track(1, steps=4, audio_codes=codes, cover_strength=0.5)
    assert rows_of_passes(pipeline, half) == [1, 1, 1, 1]


def test_run_shifts_and_rescales_the_finished_latents(pipeline: Any, track: TrackFactory) -> None:
    changed = {"latent_shift": 0.5, "latent_rescale": 2.0}
    denoiser = Denoiser(pipeline)
    latents = [
        denoiser.denoise(conditionings(pipeline, track(1, finish=finish)), lambda *_: ())[0][0]
        for finish in ({}, changed)
    ]
    plain, moved = latents
    assert plain is not None
    assert moved is not None
    assert torch.allclose(moved, plain * 2.0 + 0.5)


def test_run_begins_with_the_noise_of_each_track(pipeline: Any, track: TrackFactory) -> None:
    tracks = conditionings(pipeline, track(1), track(2, duration=0.6))
    null = pipeline.condition_encoder.null_condition_emb[0]
    run = DenoisingRun(pipeline.transformer, None, PaddedBatch(tracks, null, 2))  # type: ignore[arg-type]
    for position, one in enumerate(tracks):
        assert torch.equal(run.finished(position), one.noise)
