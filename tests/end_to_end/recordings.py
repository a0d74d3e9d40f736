"""What is in finished files, and how far that is from the audio that the model makes.

Files hold 16 bits, and a step of 3e-5 hides what is smaller. Two files can be compared only to a
step, and on average; against audio that was not rounded the bound is sharp: rounding adds half a
step at most, and among many samples some lie where the smallest difference tips them over.
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
from trackfarm_worker.engine.acceleration import fold_weight_norm
from trackfarm_worker.engine.conditioning import Conditioner
from trackfarm_worker.engine.decoder import Decoder
from trackfarm_worker.engine.denoiser import Denoiser
from trackfarm_worker.engine.intake import Job, job
from trackfarm_worker.engine.messages import EngineTrack
from trackfarm_worker.engine.meter import normalised

STEPS = 32_767  # of full scale, as `meter.to_int16` rounds
HALF_A_STEP = 0.5 / STEPS

Samples = NDArray[np.int16]


def recorded(farm: LocalFarm, job_id: str) -> dict[str, Samples]:
    """Samples (frames, 2) of every WAV file of a job, by the name of its brief."""
    found = {}
    for track in farm.client.tracks(job_id):
        assert track.url
        body = httpx.get(track.url, timeout=30).raise_for_status().content
        samples, _ = soundfile.read(io.BytesIO(body), dtype="int16", always_2d=True)
        found[track.name] = samples
    return found


def step_apart(one: Samples, other: Samples) -> float:
    """Mean difference of two recordings, none of whose samples may be more than a step apart. It
    is on average that of the audio before it was rounded."""
    apart = np.abs(one.astype(np.int32) - other.astype(np.int32))
    assert apart.max() <= 1, f"samples are {apart.max()} steps apart"
    return float(apart.mean()) / STEPS


def beyond_rounding(recording: Samples, audio: NDArray[np.float64]) -> float:
    """How far the worst sample is from audio (frames, 2), less what rounding to 16 bits explains."""
    assert recording.shape == audio.shape
    return float(np.abs(recording / STEPS - audio).max()) - HALF_A_STEP


class Studio:
    """Makes tracks one by one in this process, and does not round them. Takes the pipeline over."""

    def __init__(self, pipeline: Any) -> None:
        self._model_set = model_set("tiny")
        fold_weight_norm(pipeline.vae)
        self._conditioner = Conditioner(pipeline)
        self._denoiser = Denoiser(pipeline)
        self._decoder = Decoder(pipeline.vae)

    def play(self, brief: Brief) -> NDArray[np.float64]:
        """Audio (frames, 2) of a brief that is made from words alone and has a seed."""
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
        made = job(track, self._model_set, "")
        assert isinstance(made, Job), made
        materials = self._conditioner.materials([self._conditioner.ground(made)])
        (latents,), _ = self._denoiser.denoise(materials, lambda *_: ())
        assert latents is not None
        ((_, raw),) = self._decoder.decode({0: latents}, lambda *_: ())
        audio = normalised(raw[:, : made.recipe.frames]).T
        return np.asarray(audio.numpy(), dtype=np.float64)
