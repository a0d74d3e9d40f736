"""Difference between a track in a batch and the same track made alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from trackfarm.model_sets import ModelSet
from trackfarm_bench.engine.ours import first_tries
from trackfarm_worker.engine.child.conditioning import Conditioner, Conditioning
from trackfarm_worker.engine.child.decoder import Decoder
from trackfarm_worker.engine.child.denoiser import Denoiser
from trackfarm_worker.engine.protocol import EngineTrack


@dataclass(frozen=True, slots=True)
class Difference:
    """The worst track's differences: the largest of a latent value, the relative L2 of its latents,
    their cosine, and the largest of a sample of its raw audio."""

    latent: float
    relative: float
    cosine: float
    audio: float


class Comparer:
    """Makes tracks in a batch and alone. Replaces the pipeline's attention, as the engine does."""

    def __init__(self, pipeline: Any, model_set: ModelSet) -> None:
        self._model_set = model_set
        self._conditioner = Conditioner(pipeline)
        self._denoiser = Denoiser(pipeline)
        self._decoder = Decoder(pipeline.vae)

    def batch_against_alone(self, tracks: Sequence[EngineTrack]) -> Difference:
        together = self._latents(self._materials(tracks))
        alone = [self.alone(track) for track in tracks]
        sounds = self._sounds(together)
        solos = [self._sounds([latents])[0] for latents in alone]
        return worst(list(zip(together, alone, strict=True)), list(zip(sounds, solos, strict=True)))

    def alone(self, track: EngineTrack) -> torch.Tensor:
        """Return the track's latents, shape (frames, width)."""
        return self._latents(self._materials([track]))[0]

    def _materials(self, tracks: Sequence[EngineTrack]) -> list[Conditioning]:
        encoded = [
            self._conditioner.encode_inputs(track) for track in first_tries(tracks, self._model_set)
        ]
        return self._conditioner.condition(encoded)

    def _latents(self, conditionings: Sequence[Conditioning]) -> list[torch.Tensor]:
        denoised, _ = self._denoiser.denoise(conditionings, lambda *_: ())
        return [latents for latents in denoised if latents is not None]

    def _sounds(self, latents: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        decoded = dict(self._decoder.decode(dict(enumerate(latents)), lambda *_: ()))
        return [decoded[position].cpu() for position in range(len(latents))]


def worst(
    latents: Sequence[tuple[torch.Tensor, torch.Tensor]],
    sounds: Sequence[tuple[torch.Tensor, torch.Tensor]] = (),
) -> Difference:
    """Return the worst differences over all pairs of a batch."""
    return Difference(
        latent=max(float((a - b).abs().max()) for a, b in latents),
        relative=max(float((a - b).norm() / b.norm()) for a, b in latents),
        cosine=min(
            float(torch.cosine_similarity(a.flatten(), b.flatten(), dim=0)) for a, b in latents
        ),
        audio=max((float((a - b).abs().max()) for a, b in sounds), default=0.0),
    )
