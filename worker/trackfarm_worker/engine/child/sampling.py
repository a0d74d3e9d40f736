"""Rules of ACE-Step's samplers for one track: velocities kept within bounds, and noise added again."""

import torch

from trackfarm_worker.engine.child.padding import PaddedBatch


def limited(velocity: torch.Tensor, latents: torch.Tensor, threshold: float) -> torch.Tensor:
    """Return the velocity (frames, width), at most `threshold` times as long as the latents; 0 means
    no limit."""
    if threshold == 0:
        return velocity
    most = threshold * (torch.linalg.vector_norm(latents) + 1e-10)
    return velocity * torch.clamp(most / (torch.linalg.vector_norm(velocity) + 1e-10), max=1.0)


def smoothed(velocity: torch.Tensor, before: torch.Tensor | None, factor: float) -> torch.Tensor:
    """Return the velocity with a share of the one before, if there is one."""
    if factor == 0 or before is None:
        return velocity
    return (1.0 - factor) * velocity + factor * before


class StepNoise:
    """Noise that stochastic steps add: for each track it follows the first noise of its seed."""

    def __init__(self, batch: PaddedBatch) -> None:
        self._batch = batch
        self._generators: dict[int, torch.Generator] = {}

    def draw(self, position: int) -> torch.Tensor:
        """Return the next noise (frames, width) of the track at this position."""
        track = self._batch.tracks[position]
        if position not in self._generators:
            generator = torch.Generator("cpu").manual_seed(track.seed)
            torch.randn((1, *track.noise.shape), generator=generator)
            self._generators[position] = generator
        noise = torch.randn((1, *track.noise.shape), generator=self._generators[position])
        return noise[0].to(self._batch.noise.device)
