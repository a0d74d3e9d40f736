"""Comparison of finished files with each other and with the model's unrounded audio.

Files hold 16 bits, and a step of 3e-5 hides smaller differences. Two files can be compared only to
within one step, and on average; against unrounded audio the bound is sharp: rounding adds at most
half a step, and among many samples some are so close to a rounding boundary that the smallest
difference changes them.
"""

import io
from typing import Any

import httpx
import numpy as np
import soundfile
from numpy.typing import NDArray

from tests.end_to_end.farm import LocalFarm
from trackfarm.catalog import Brief
from trackfarm.model_sets import model_set
from trackfarm_worker.engine.child.conditioning import Conditioner
from trackfarm_worker.engine.child.decoder import Decoder
from trackfarm_worker.engine.child.denoiser import Denoiser
from trackfarm_worker.engine.child.levels import normalise_peak
from trackfarm_worker.engine.child.optimize import fold_weight_norm
from trackfarm_worker.engine.child.recipe import TrackTry, first_try
from trackfarm_worker.engine.protocol import EngineTrack

STEPS = 32_767  # per full scale, the rounding of `meter.to_int16`
HALF_A_STEP = 0.5 / STEPS

Samples = NDArray[np.int16]


def recordings_of(farm: LocalFarm, job_id: str) -> dict[str, Samples]:
    """Return the samples (frames, 2) of every WAV file of a job, by the name of its brief."""
    recordings = {}
    for track in farm.client.tracks(job_id):
        assert track.url
        body = httpx.get(track.url, timeout=30).raise_for_status().content
        samples, _ = soundfile.read(io.BytesIO(body), dtype="int16", always_2d=True)
        recordings[track.name] = samples
    return recordings


def mean_difference(one: Samples, other: Samples) -> float:
    """Return the mean difference of two recordings; assert that no samples differ by over one step.

    On average it equals the difference of the audio before rounding.
    """
    apart = np.abs(one.astype(np.int32) - other.astype(np.int32))
    assert apart.max() <= 1, f"samples are {apart.max()} steps apart"
    return float(apart.mean()) / STEPS


def excess_over_rounding(recording: Samples, audio: NDArray[np.float64]) -> float:
    """Return the largest difference from `audio` (frames, 2), minus the rounding to 16 bits."""
    assert recording.shape == audio.shape
    return float(np.abs(recording / STEPS - audio).max()) - HALF_A_STEP


class UnroundedRenderer:
    """Generator of single, unrounded tracks in this process; takes ownership of the pipeline."""

    def __init__(self, pipeline: Any) -> None:
        self._model_set = model_set("tiny")
        fold_weight_norm(pipeline.vae)
        self._conditioner = Conditioner(pipeline)
        self._denoiser = Denoiser(pipeline)
        self._decoder = Decoder(pipeline.vae)

    def render(self, brief: Brief) -> NDArray[np.float64]:
        """Return the audio (frames, 2) of a text-only brief that has a seed."""
        assert brief.seed is not None
        track = EngineTrack(
            track_id=1,
            prompt=brief.prompt,
            lyrics=brief.lyrics,
            duration=brief.duration,
            seed=brief.seed,
            vocal_language=brief.vocal_language,
            steps=brief.inference_steps,
            guidance=brief.guidance_scale,
        )
        plan = first_try(track, self._model_set, "")
        assert isinstance(plan, TrackTry), plan
        conditionings = self._conditioner.condition([self._conditioner.encode_inputs(plan)])
        (latents,), _ = self._denoiser.denoise(conditionings, lambda *_: ())
        assert latents is not None
        ((_, raw),) = self._decoder.decode({0: latents}, lambda *_: ())
        audio = normalise_peak(raw[:, : plan.recipe.frames]).T
        return np.asarray(audio.numpy(), dtype=np.float64)
