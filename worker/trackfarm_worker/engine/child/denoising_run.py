"""The latents of one batch, step by step, each track by its own sampler."""

from collections.abc import Sequence
from typing import Any

import torch

from trackfarm_worker.engine.child.attention import Masks
from trackfarm_worker.engine.child.guidance import (
    ProjectedGuidance,
    angle_guided,
    plainly_guided,
)
from trackfarm_worker.engine.child.padding import PaddedBatch, Rows, RowWork
from trackfarm_worker.engine.child.recipe import Recipe
from trackfarm_worker.engine.child.sampling import StepNoise, limited, smoothed
from trackfarm_worker.engine.child.step_corrections import StepCorrections, blended


class DenoisingRun:
    """The latents of one batch, from noise to music."""

    def __init__(self, model: Any, masks: Masks, batch: PaddedBatch) -> None:
        self._model = model
        self._masks = masks
        self._batch = batch
        self._latents = batch.start.clone()
        self._guidance = ProjectedGuidance(batch.noise)
        self._corrections = StepCorrections(batch)
        self._step_noise = StepNoise(batch)
        self._levels = batch.levels()
        self._works: list[RowWork] = []
        self._rows: Rows | None = None
        self._velocities: dict[int, torch.Tensor] = {}

    def advance(self, active: Sequence[int], step: int) -> None:
        """Make a step of the tracks at these positions."""
        rows = self._rows_of(active, step, step)
        positions, frames = rows.positions, rows.frames
        current = self._latents[positions, :frames]
        level, next_level = self._levels[positions, step], self._levels[positions, step + 1]
        output = self._evaluate(rows, current, level)
        velocity = self._guided(rows, active, step, current, output)
        for row, position in enumerate(active):
            self._limit_and_smooth(
                position, velocity[row], current[row], self._velocities.get(position)
            )
        clean = current - _column(level) * velocity
        moved = current + _column(next_level - level) * velocity
        self._make_stochastic(active, step, clean, moved)
        self._make_second_order(active, step, current, velocity, moved)
        self._keep_velocities(active, velocity)
        self._latents[positions, :frames] = self._corrections.apply(active, step, moved, clean)

    def finished(self, position: int) -> torch.Tensor:
        """Return the finished latents (frames, width) of the track at this position."""
        track = self._batch.tracks[position]
        latents = self._latents[position, : self._batch.lengths[position]]
        finish = track.recipe.finish
        result = blended(track, latents)
        if (finish.latent_rescale, finish.latent_shift) == (1.0, 0.0):
            return result
        return result * finish.latent_rescale + finish.latent_shift

    def _rows_of(self, active: Sequence[int], step: int, level_step: int) -> Rows:
        """Return the rows of a pass in `step`, at the noise level before `level_step`."""
        works = [self._work(position, step, level_step) for position in active]
        if self._rows is None or works != self._works:
            self._rows, self._works = self._batch.rows(works), works
            self._masks.fill(self._rows.tokens, self._rows.condition_tokens)
        return self._rows

    def _work(self, position: int, step: int, level_step: int) -> RowWork:
        track = self._batch.tracks[position]
        is_guided = track.recipe.is_guided_at(track.recipe.levels[level_step])
        return RowWork(position, track.is_plain(step), is_guided)

    def _evaluate(self, rows: Rows, latents: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
        """Return the velocity of each row, float32, zero in the padding."""
        dtype = self._model.dtype
        noise_level = levels[rows.owner].to(dtype)
        output: torch.Tensor = self._model(
            hidden_states=latents[rows.owner].to(dtype),
            timestep=noise_level,
            timestep_r=noise_level,
            encoder_hidden_states=rows.condition.to(dtype),
            context_latents=rows.context.to(dtype),
            return_dict=False,
        )[0].float()
        return output * self._batch.valid[rows.positions, : rows.frames][rows.owner]

    def _guided(
        self,
        rows: Rows,
        active: Sequence[int],
        step: int,
        latents: torch.Tensor,
        output: torch.Tensor,
    ) -> torch.Tensor:
        """Return the velocity of each track of `rows`, guided where it is to be."""
        velocity = output[: len(active)]
        if not len(rows.guided):
            return velocity
        guided = self._guidance.guide(
            velocity[rows.guided],
            output[rows.guided_rows],
            rows.scales,
            rows.positions[rows.guided],
        )
        if not any(self._track(position)[0].sampler.use_adg for position in active):
            return velocity.index_copy(
                0, rows.guided, guided
            )  # reading rows would wait for the GPU
        for number, row in enumerate(rows.guided.tolist()):
            recipe, length = self._track(active[row])
            if recipe.sampler.use_adg:
                guided[number, :length] = angle_guided(
                    latents[row, :length],
                    velocity[row, :length],
                    output[len(active) + number, :length],
                    level=recipe.levels[step],
                    scale=recipe.guidance,
                )
        return velocity.index_copy(0, rows.guided, guided)

    def _limit_and_smooth(
        self,
        position: int,
        velocity: torch.Tensor,
        latents: torch.Tensor,
        before: torch.Tensor | None,
    ) -> None:
        """Limit and smooth the velocity (frames, width) of one track in place."""
        recipe, length = self._track(position)
        sampler = recipe.sampler
        if sampler.velocity_norm_threshold or sampler.velocity_ema_factor:
            bounded = limited(velocity[:length], latents[:length], sampler.velocity_norm_threshold)
            velocity[:length] = smoothed(bounded, before, sampler.velocity_ema_factor)

    def _make_stochastic(
        self, active: Sequence[int], step: int, clean: torch.Tensor, moved: torch.Tensor
    ) -> None:
        """Replace the latents of tracks that add noise again to their clean prediction."""
        for row, position in enumerate(active):
            recipe, length = self._track(position)
            if recipe.sampler.infer_method == "sde":
                level = recipe.level_after(step)
                noise = self._step_noise.draw(position)
                moved[row, :length] = level * noise + (1.0 - level) * clean[row, :length]

    def _make_second_order(
        self,
        active: Sequence[int],
        step: int,
        current: torch.Tensor,
        velocity: torch.Tensor,
        moved: torch.Tensor,
    ) -> None:
        """Replace velocities and latents of tracks with Heun's method: it takes the mean of the
        velocities at both ends of the step."""
        places = {position: row for row, position in enumerate(active)}
        chosen = [p for p in active if self._track(p)[0].is_second_order(step)]
        if not chosen:
            return
        rows = self._rows_of(chosen, step, step + 1)
        predicted = moved[[places[position] for position in chosen], : rows.frames]
        output = self._evaluate(rows, predicted, self._levels[rows.positions, step + 1])
        second = self._guided_at_the_end(rows, chosen, step, predicted, output)
        for number, position in enumerate(chosen):
            row, (recipe, length) = places[position], self._track(position)
            self._limit_and_smooth(
                position, second[number], predicted[number], velocity[row, :length]
            )
            velocity[row, :length] = 0.5 * (velocity[row, :length] + second[number, :length])
            change = recipe.levels[step + 1] - recipe.levels[step]
            moved[row, :length] = current[row, :length] + change * velocity[row, :length]

    def _guided_at_the_end(
        self,
        rows: Rows,
        chosen: Sequence[int],
        step: int,
        latents: torch.Tensor,
        output: torch.Tensor,
    ) -> torch.Tensor:
        """Return the velocities at the end of a step. As in ACE-Step, without the momentum of
        projected guidance, and by angles only where there is noise."""
        velocity = output[: len(chosen)].clone()
        for number, row in enumerate(rows.guided.tolist()):
            recipe, length = self._track(chosen[row])
            level = recipe.levels[step + 1]
            pair = velocity[row, :length], output[len(chosen) + number, :length]
            velocity[row, :length] = (
                angle_guided(latents[row, :length], *pair, level=level, scale=recipe.guidance)
                if recipe.sampler.use_adg and level > 0
                else plainly_guided(*pair, recipe.guidance)
            )
        return velocity

    def _keep_velocities(self, active: Sequence[int], velocity: torch.Tensor) -> None:
        for row, position in enumerate(active):
            recipe, length = self._track(position)
            if recipe.sampler.velocity_ema_factor:
                self._velocities[position] = velocity[row, :length].clone()

    def _track(self, position: int) -> tuple[Recipe, int]:
        return self._batch.tracks[position].recipe, self._batch.lengths[position]


def _column(values: torch.Tensor) -> torch.Tensor:
    return values.view(-1, 1, 1)
