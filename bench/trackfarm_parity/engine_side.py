"""The side of trackfarm: the parts that all models share, and the latents of the engine."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trackfarm.catalog import Brief
from trackfarm.model_sets import ModelSet, model_set
from trackfarm.protocol.worker import TrackOrder
from trackfarm_parity.cases import REFERENCE_SAMPLES, SOURCE_SAMPLES, ParityCase
from trackfarm_parity.small_models import noise
from trackfarm_worker.engine.child.conditioning import Conditioner
from trackfarm_worker.engine.child.denoiser import Denoiser
from trackfarm_worker.engine.child.failure import EngineFailure
from trackfarm_worker.engine.child.recipe import TrackTry, first_try
from trackfarm_worker.engine_tracks import engine_track
from trackfarm_worker.models import tiny
from trackfarm_worker.models.download import pull
from trackfarm_worker.models.loader import load
from trackfarm_worker.sources.cache import TrackSources

Latents = NDArray[np.float32]


def write_parts(work: Path) -> None:
    """Write a small VAE and text encoder in the official layout, and the sources of the cases."""
    pipeline = tiny.build()
    pipeline.vae.save_pretrained(work / "vae")
    pipeline.text_encoder.save_pretrained(work / "Qwen3-Embedding-0.6B")
    pipeline.tokenizer.save_pretrained(work / "Qwen3-Embedding-0.6B")
    np.save(work / "source.npy", noise("source", SOURCE_SAMPLES), allow_pickle=False)
    np.save(work / "reference.npy", noise("reference", REFERENCE_SAMPLES), allow_pickle=False)


@dataclass(frozen=True, slots=True)
class SmallEngine:
    """The parts of an engine around a small model."""

    rules: ModelSet
    work: Path
    conditioner: Conditioner
    denoiser: Denoiser

    def latents(self, cases: Sequence[ParityCase]) -> list[Latents]:
        """Return the latents (frames, width) of the cases, made in one batch."""
        tries = [self._first_try(case) for case in cases]
        inputs = [self.conditioner.encode_inputs(track) for track in tries]
        denoised, _ = self.denoiser.denoise(self.conditioner.condition(inputs), lambda *_: ())
        return [one.numpy() for one in denoised if one is not None]

    def _first_try(self, case: ParityCase) -> TrackTry:
        brief = Brief.model_validate(case.brief(self.rules.name))
        source, reference = (
            self.work / name if name else None for name in (brief.src_audio, brief.reference_audio)
        )
        order = TrackOrder(
            track_id=1,
            key="parity",
            seed=brief.seed or 0,
            brief=brief,
            object_key="",
            upload_url="",
        )
        track = first_try(
            engine_track(order, TrackSources(source, reference)), self.rules, "parity"
        )
        if isinstance(track, EngineFailure):
            raise TypeError(f"{case.name}: {track.message}")
        return track


def small_engine(name: str, work: Path) -> SmallEngine:
    """Pull the official folder of `work` as the worker does, and load it."""
    rules = model_set(name).model_copy(update={"dtype": "float32", "download_gb": 0.0})
    target = work / f"{name}-converted"
    shutil.rmtree(target, ignore_errors=True)
    pull(rules, to=target, source=str(work))
    pipeline: Any = load(rules, target, device="cpu").pipeline
    return SmallEngine(rules, work, Conditioner(pipeline), Denoiser(pipeline))


def difference(ours: Latents, theirs: Latents) -> float:
    """Return the largest absolute difference; infinite if the lengths differ."""
    if ours.shape != theirs.shape:
        return float("inf")
    return float(np.abs(ours - theirs).max(initial=0.0))


def relative(ours: Latents, theirs: Latents) -> float:
    """Return the relative L2 of the difference."""
    if ours.shape != theirs.shape:
        return float("inf")
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


def use_one_thread() -> None:
    """Compute on one thread, so that sums have one order on every machine of a kind."""
    torch.set_num_threads(1)
