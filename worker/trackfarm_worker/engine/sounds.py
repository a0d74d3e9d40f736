"""Source and reference audio to latents: the VAE's posterior mean, window by window."""

import math
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from trackfarm_worker.engine.intake import sound
from trackfarm_worker.engine.windows import windows

KEPT = 16  # latents of sound files that several tracks of a shard share
REFERENCE_SECONDS, EXCERPT_SECONDS = 30, 10


class SoundEncoder:
    """Encodes each file alone, however large its batch is.

    The tokenizer behind covers rounds to levels: a difference of 1e-7 could become another token.
    """

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        self._kept: OrderedDict[tuple[str, Path, int], torch.Tensor] = OrderedDict()

    def source(self, path: Path) -> torch.Tensor:
        """Latents (frames, width); the last frame is filled up with silence."""
        return self._known("source", path)

    def reference(self, path: Path) -> torch.Tensor:
        """Latents (750, width) of what the timbre encoder listens to."""
        return self._known("reference", path)

    def resung(self, latents: torch.Tensor) -> torch.Tensor:
        """The latents (frames, width) as the audio tokenizer hears them: what a cover goes by."""
        pipe = self._pipeline
        silence = pipe.condition_encoder.silence_latent.to(latents)
        tokens, _ = pipe.audio_tokenizer.tokenize(latents[None], silence)
        heard: torch.Tensor = pipe.audio_token_detokenizer(tokens)[0, : len(latents)]
        return heard

    def forget(self) -> None:
        """Encodes every file anew from now on."""
        self._kept.clear()

    def _known(self, role: str, path: Path) -> torch.Tensor:
        key = role, path, path.stat().st_mtime_ns
        if key not in self._kept:
            samples = sound(path)
            rate = self._pipeline.sample_rate
            heard = excerpt(samples, rate) if role == "reference" else samples
            self._kept[key] = self._encoded(heard)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    def _encoded(self, samples: NDArray[np.float32]) -> torch.Tensor:
        vae = self._pipeline.vae
        hop = vae.hop_length
        frames = math.ceil(len(samples) / hop)
        parts = []
        for window in windows(frames):
            part = torch.from_numpy(samples[window.start * hop : window.stop * hop].copy()).T
            part = F.pad(part, (0, (window.stop - window.start) * hop - part.shape[1]))
            mean = vae.encode(part[None].to(vae.device, vae.dtype)).latent_dist.mode()[0]
            kept = slice(window.keep_from - window.start, window.keep_to - window.start)
            parts.append(mean[:, kept].T)
        return torch.cat(parts).to(self._pipeline.transformer.dtype)


def excerpt(samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Thirty seconds (frames, 2): ten each from the beginning, the middle and the end.

    What is shorter is repeated first. The choice is that of diffusers' AceStepPipeline.
    """
    if len(samples) < REFERENCE_SECONDS * rate:
        samples = np.tile(samples, (math.ceil(REFERENCE_SECONDS * rate / len(samples)), 1))
    length, third = EXCERPT_SECONDS * rate, len(samples) // 3
    pieces = [samples[:length], samples[third : third + length], samples[-length:]]
    return np.concatenate(pieces)
