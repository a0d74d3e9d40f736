"""Latents to audio, window by window (`trackfarm_worker.engine.windows`)."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trackfarm_worker.engine.windows import windows


@torch.inference_mode()
def decode(
    vae: Any,
    latents: torch.Tensor,
    *,
    frames: int,
    on_window: Callable[[int, int], bool],
) -> NDArray[np.float32] | None:
    """Audio (frames, channels) as the VAE gives it, or None when stopped.

    `vae` is an `AutoencoderOobleck`, `latents` are (1, time, width) on its device. `on_window` is called with the windows done
    and their number; decoding stops where it says False.
    """
    plan = list(windows(latents.shape[1]))
    pieces = []
    for done, window in enumerate(plan, start=1):
        part = latents[:, window.start : window.stop].transpose(1, 2).to(vae.dtype)
        audio = vae.decode(part).sample[0].float().cpu()
        hop = audio.shape[-1] // (window.stop - window.start)
        kept = slice((window.keep_from - window.start) * hop, (window.keep_to - window.start) * hop)
        pieces.append(audio[:, kept].numpy())
        if not on_window(done, len(plan)):
            return None
    whole = np.concatenate(pieces, axis=1)
    assert whole.shape[1] >= frames, "the latents are shorter than the audio asked for"
    return np.ascontiguousarray(whole[:, :frames].T)
