"""Encoding of source and reference audio to latents: the VAE's posterior mean, window by window."""

import math
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from trackfarm_worker.engine.child.decoder import windows
from trackfarm_worker.engine.child.recipe import load_stereo

MAX_CACHED = 16  # latents of files that several tracks of a shard share
REFERENCE_SECONDS, EXCERPT_SECONDS = 30, 10


class SourceEncoder:
    """Encoder of source files, each on its own whatever the batch size.

    The tokenizer behind covers rounds to levels: a difference of 1e-7 could produce another token.
    """

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        self._cache: OrderedDict[tuple[str, Path, int], torch.Tensor] = OrderedDict()

    def source(self, path: Path) -> torch.Tensor:
        """Return latents (frames, width); the last frame is padded with silence."""
        return self._cached("source", path)

    def reference(self, path: Path) -> torch.Tensor:
        """Return the latents (750, width) for the timbre encoder."""
        return self._cached("reference", path)

    def requantised(self, latents: torch.Tensor) -> torch.Tensor:
        """Return the latents (frames, width) after a pass through the audio tokenizer: the input of
        covers."""
        pipe = self._pipeline
        silence = pipe.condition_encoder.silence_latent.to(latents)
        tokens, _ = pipe.audio_tokenizer.tokenize(latents[None], silence)
        quantised: torch.Tensor = pipe.audio_token_detokenizer(tokens)[0, : len(latents)]
        return quantised

    def clear_cache(self) -> None:
        """Clear the cache of latents."""
        self._cache.clear()

    def _cached(self, role: str, path: Path) -> torch.Tensor:
        key = role, path, path.stat().st_mtime_ns
        if key not in self._cache:
            samples = load_stereo(path)
            rate = self._pipeline.sample_rate
            selection = excerpt(samples, rate) if role == "reference" else samples
            self._cache[key] = self._encode(selection)
            if len(self._cache) > MAX_CACHED:
                self._cache.popitem(last=False)
        self._cache.move_to_end(key)
        return self._cache[key]

    def _encode(self, samples: NDArray[np.float32]) -> torch.Tensor:
        vae = self._pipeline.vae
        hop = vae.hop_length
        frames = math.ceil(len(samples) / hop)
        parts = []
        for window in windows(frames):
            part = torch.from_numpy(samples[window.start * hop : window.stop * hop].copy()).T
            part = F.pad(part, (0, (window.stop - window.start) * hop - part.shape[1]))
            mean = vae.encode(part[None].to(vae.device, vae.dtype)).latent_dist.mode()[0]
            core = slice(window.keep_from - window.start, window.keep_to - window.start)
            parts.append(mean[:, core].T)
        return torch.cat(parts).to(self._pipeline.transformer.dtype)


def excerpt(samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Return thirty seconds (frames, 2): ten each from the beginning, the middle and the end.

    Shorter audio is repeated first. The choice is that of diffusers' AceStepPipeline.
    """
    if len(samples) < REFERENCE_SECONDS * rate:
        samples = np.tile(samples, (math.ceil(REFERENCE_SECONDS * rate / len(samples)), 1))
    length, third = EXCERPT_SECONDS * rate, len(samples) // 3
    pieces = [samples[:length], samples[third : third + length], samples[-length:]]
    return np.concatenate(pieces)
