"""Corrections of the latents after each step, each for the tracks that have it: in the wavelet domain,
and the source outside a repainted window."""

from collections.abc import Sequence

import torch

from trackfarm_worker.engine.child.conditioning import Conditioning
from trackfarm_worker.engine.child.padding import PaddedBatch
from trackfarm_worker.engine.child.wavelet import corrected
from trackfarm_worker.engine.child.window import ramp_weights


class StepCorrections:
    """Corrections of one batch."""

    def __init__(self, batch: PaddedBatch) -> None:
        self._batch = batch
        self._tracks = batch.tracks

    def apply(
        self, active: Sequence[int], step: int, latents: torch.Tensor, clean: torch.Tensor
    ) -> torch.Tensor:
        """Return the latents (tracks, frames, width) after this step of the tracks at the positions
        `active`; `clean` is the prediction at its beginning."""
        result = self._in_wavelet_domain(active, step, latents, clean)
        for row, position in enumerate(active):
            window = self._tracks[position].recipe.window
            if window is not None and step < window.injected_steps:
                length = self._batch.lengths[position]
                result[row, :length] = self._with_source(position, step, result[row, :length])
        return result

    def _in_wavelet_domain(
        self, active: Sequence[int], step: int, latents: torch.Tensor, clean: torch.Tensor
    ) -> torch.Tensor:
        recipes = [self._tracks[position].recipe for position in active]
        chosen = [row for row, recipe in enumerate(recipes) if recipe.correction is not None]
        if not chosen:
            return latents
        gains = [
            recipe.correction.gains(recipe.levels[step])
            for recipe in recipes
            if recipe.correction is not None
        ]
        low, high = torch.tensor(gains, device=latents.device).T.reshape(2, -1, 1, 1)
        rows = torch.tensor(chosen, device=latents.device)
        changed = corrected(latents[rows], clean[rows], low, high)
        # The pair of an odd last frame reaches into the padding, which must remain zero.
        valid = self._batch.valid[[active[row] for row in chosen], : latents.shape[1]]
        return latents.index_copy(0, rows, changed * valid)

    def _with_source(self, position: int, step: int, latents: torch.Tensor) -> torch.Tensor:
        """Return the latents of a track with its source, noised as they are, outside the window."""
        track = self._tracks[position]
        window, source = track.recipe.window, track.source
        assert window is not None
        assert source is not None
        level = track.recipe.level_after(step)
        noise = self._batch.noise[position, : len(latents)]
        noised = level * noise + (1.0 - level) * source.to(latents)
        noised[window.start : window.stop] = latents[window.start : window.stop]
        return noised


def blended(track: Conditioning, latents: torch.Tensor) -> torch.Tensor:
    """Return the finished latents (frames, width), blended with the source at the window's
    borders."""
    window, source = track.recipe.window, track.source
    if window is None or source is None or window.blend_frames == 0:
        return latents
    weights = ramp_weights(
        len(latents),
        start=window.start,
        stop=window.stop,
        ramp=window.blend_frames,
        device=latents.device,
    ).unsqueeze(1)
    return weights * latents + (1.0 - weights) * source.to(latents)
