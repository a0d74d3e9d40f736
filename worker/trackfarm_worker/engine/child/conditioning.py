"""Conditioning of the DiT for each track: texts, timbre, source, and the initial noise."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.pipelines.ace_step.modeling_ace_step import _pack_sequences

from trackfarm_worker.engine.child.recipe import Recipe, TrackTry, latent_frames
from trackfarm_worker.engine.child.source_encoder import SourceEncoder
from trackfarm_worker.engine.child.text_encoder import (
    LYRIC_TOKENS,
    TEXT_TOKENS,
    Texts,
    format_texts,
    tokenise,
)
from trackfarm_worker.engine.child.window import RepaintWindow

CHUNK = 16  # texts encoded at once: bounds the memory of attention over lyrics


@dataclass(frozen=True, slots=True)
class EncodedInputs:
    """Inputs of a track that do not depend on the rest of the batch; tensors are (frames,
    width)."""

    recipe: Recipe
    seed: int
    noise: torch.Tensor
    start: torch.Tensor
    source: torch.Tensor | None
    context: torch.Tensor
    plain_context: torch.Tensor | None
    timbre: torch.Tensor
    texts: Texts
    plain_texts: Texts | None


@dataclass(frozen=True, slots=True)
class Guide:
    """Inputs of the DiT beside the latents: `context` (frames, 2 * width) has the source and the
    chunk mask, `condition` (tokens, hidden) the texts and the timbre."""

    context: torch.Tensor
    condition: torch.Tensor


@dataclass(frozen=True, slots=True)
class Conditioning:
    """All inputs of the DiT for one track.

    `noise` (frames, width) is float32, `start` the latents before the first step, `source` the
    latents of a source of which a part must stay. A cover of less than full strength follows `plain`, that of the track as text2music, in its last
    steps.
    """

    recipe: Recipe
    seed: int
    noise: torch.Tensor
    start: torch.Tensor
    source: torch.Tensor | None
    main: Guide
    plain: Guide | None

    @property
    def frames(self) -> int:
        return len(self.noise)

    def is_plain(self, step: int) -> bool:
        """Return whether `plain` leads in this step, as in ACE-Step: it switches once."""
        return self.plain is not None and step >= self.recipe.followed_steps

    def guide(self, *, is_plain: bool) -> Guide:
        return self.plain if self.plain is not None and is_plain else self.main


class Conditioner:
    """Conditioner around an `AceStepPipeline`; uses all its modules except the DiT, each on its
    device."""

    def __init__(self, pipeline: Any, source_encoder: SourceEncoder | None = None) -> None:
        self._pipeline = pipeline
        self.source_encoder = source_encoder or SourceEncoder(pipeline)
        self._silence_timbre: torch.Tensor | None = None

    @torch.inference_mode()
    def encode_inputs(self, track: TrackTry) -> EncodedInputs:
        """Encode the inputs of this track alone. Raises OSError when a source file is missing."""
        recipe = track.recipe
        frames = latent_frames(recipe.duration, self._pipeline.latents_per_second)
        is_switching = recipe.followed_steps < recipe.steps
        noise = self._mixed_noise(recipe, frames, track.seed)
        return EncodedInputs(
            recipe=recipe,
            seed=track.seed,
            noise=noise,
            start=self._start(recipe, frames, noise),
            source=self._kept_source(recipe),
            context=self._context(recipe, frames),
            plain_context=self._with_mask(self._silence(frames)) if is_switching else None,
            timbre=self._timbre(recipe),
            texts=format_texts(self._pipeline, recipe),
            plain_texts=(
                format_texts(self._pipeline, recipe, task="text2music") if is_switching else None
            ),
        )

    @torch.inference_mode()
    def condition(self, inputs: Sequence[EncodedInputs]) -> list[Conditioning]:
        """Return the conditioning of each track: texts are encoded together, with masks, so that
        tracks do not affect each other."""
        main = [(track.texts, track.timbre) for track in inputs]
        plain = [(t.plain_texts, t.timbre) for t in inputs if t.plain_texts is not None]
        all_texts = [*main, *plain]
        conditions: list[torch.Tensor] = []
        for first in range(0, len(all_texts), CHUNK):
            conditions += self._encode_conditions(all_texts[first : first + CHUNK])
        plain_conditions = iter(conditions[len(main) :])
        return [
            Conditioning(
                recipe=track.recipe,
                seed=track.seed,
                noise=track.noise,
                start=track.start,
                source=track.source,
                main=Guide(track.context, condition),
                plain=(
                    None
                    if track.plain_context is None
                    else Guide(track.plain_context, next(plain_conditions))
                ),
            )
            for track, condition in zip(inputs, conditions[: len(main)], strict=True)
        ]

    def _mixed_noise(self, recipe: Recipe, frames: int, seed: int) -> torch.Tensor:
        """Return the noise of the seed, turned towards that of a retake: its variance remains 1."""
        noise, options = self._noise(frames, seed), recipe.start
        if options.retake_variance == 0 or options.retake_seed is None:
            return noise
        angle = options.retake_variance * (math.pi / 2.0)
        other = self._noise(frames, options.retake_seed)
        return math.cos(angle) * noise + math.sin(angle) * other

    def _start(self, recipe: Recipe, frames: int, noise: torch.Tensor) -> torch.Tensor:
        """Return the latents before the first step: of a cover that begins with less than full
        noise, mixed with the source itself, not with its tokens."""
        if recipe.start.cover_noise_strength == 0:
            return noise
        source = (
            self._source(recipe, frames)
            if recipe.source is None
            else self.source_encoder.source(recipe.source)
        )
        level = recipe.levels[0]
        return level * noise + (1.0 - level) * source.to(noise)

    def _noise(self, frames: int, seed: int) -> torch.Tensor:
        # From a CPU generator in float32, so that a seed gives the same noise on every device.
        generator = torch.Generator("cpu").manual_seed(seed)
        width = self._pipeline.transformer.config.audio_acoustic_hidden_dim
        return torch.randn((1, frames, width), generator=generator, dtype=torch.float32)[0]

    def _kept_source(self, recipe: Recipe) -> torch.Tensor | None:
        window = recipe.window
        if window is None or recipe.source is None:
            return None
        is_used = window.injected_steps > 0 or window.blend_frames > 0
        return self.source_encoder.source(recipe.source).float() if is_used else None

    def _context(self, recipe: Recipe, frames: int) -> torch.Tensor:
        source, window = self._source(recipe, frames), recipe.window
        if window is not None and recipe.task == "repaint":
            source = source.clone()
            source[window.start : window.stop] = self._silence(frames)[window.start : window.stop]
        return self._with_mask(source, window)

    @staticmethod
    def _with_mask(source: torch.Tensor, window: RepaintWindow | None = None) -> torch.Tensor:
        """Append the chunk mask: ones, as ACE-Step does unless it is told to mark the window."""
        mask = torch.ones_like(source)
        if window is not None and window.is_marked:
            mask[: window.start] = 0.0
            mask[window.stop :] = 0.0
        return torch.cat([source, mask], dim=-1)

    def _source(self, recipe: Recipe, frames: int) -> torch.Tensor:
        if recipe.source is not None:
            source_latents = self.source_encoder.source(recipe.source)
            return (
                self.source_encoder.requantised(source_latents)
                if recipe.task == "cover"
                else source_latents
            )
        if recipe.codes:
            return self._stock_source(
                audio_codes="".join(f"<|audio_code_{code}|>" for code in recipe.codes)
            )
        return self._silence(frames)

    def _silence(self, frames: int) -> torch.Tensor:
        return self._stock_source(latent_length=frames)

    def _stock_source(self, **arguments: object) -> torch.Tensor:
        model = self._pipeline.transformer
        source: torch.Tensor = self._pipeline.prepare_src_latents(
            device=model.device, dtype=model.dtype, batch_size=1, **arguments
        )[0][0]
        return source

    def _timbre(self, recipe: Recipe) -> torch.Tensor:
        if recipe.reference is not None:
            return self._encode_timbre(self.source_encoder.reference(recipe.reference))
        if self._silence_timbre is None:
            frames = round(30 * self._pipeline.latents_per_second)
            silence = self._pipeline.condition_encoder.silence_latent[0, :frames]
            self._silence_timbre = self._encode_timbre(silence)
        return self._silence_timbre

    def _encode_timbre(self, reference: torch.Tensor) -> torch.Tensor:
        encoder = self._pipeline.condition_encoder
        order = torch.zeros(1, dtype=torch.long, device=encoder.device)
        frames = reference[None].to(encoder.device, encoder.dtype)
        is_xl = is_wider(self._pipeline.transformer)
        with timbre_token(encoder.timbre_encoder) if is_xl else nullcontext():
            timbre, _ = encoder.timbre_encoder(frames, order)
        return timbre[0]  # type: ignore[no-any-return]

    def _encode_conditions(
        self, inputs: Sequence[tuple[Texts, torch.Tensor]]
    ) -> list[torch.Tensor]:
        """Run the forward pass of `AceStepConditionEncoder`, with timbres encoded beforehand."""
        pipe, encoder = self._pipeline, self._pipeline.condition_encoder
        reader = pipe.text_encoder
        text = tokenise(pipe.tokenizer, [t.text for t, _ in inputs], TEXT_TOKENS, reader.device)
        lyric = tokenise(pipe.tokenizer, [t.lyrics for t, _ in inputs], LYRIC_TOKENS, reader.device)
        text_states = reader(input_ids=text.ids).last_hidden_state.to(encoder.device)
        lyric_embeddings = reader.get_input_embeddings()(lyric.ids).to(encoder.device)
        text_mask, lyric_mask = text.mask.to(encoder.device), lyric.mask.to(encoder.device)
        timbre = torch.stack([timbre.to(encoder.device) for _, timbre in inputs])
        lyrics = encoder.lyric_encoder(inputs_embeds=lyric_embeddings, attention_mask=lyric_mask)
        timbre_mask = torch.ones(timbre.shape[:2], dtype=torch.long, device=encoder.device)
        packed, mask = _pack_sequences(lyrics, timbre, lyric_mask, timbre_mask)
        packed, mask = _pack_sequences(packed, encoder.text_projector(text_states), mask, text_mask)
        device = pipe.transformer.device
        return [
            row[:count].to(device)
            for row, count in zip(packed, mask.sum(dim=1).tolist(), strict=True)
        ]


def is_wider(transformer: Any) -> bool:
    """Return whether the DiT is wider than the conditioning, as in the XL models only."""
    config = transformer.config
    condition = config.encoder_hidden_size
    return condition is not None and condition != config.hidden_size


@contextmanager
def timbre_token(timbre_encoder: Any) -> Iterator[None]:
    """Prepend the special token to everything that the timbre encoder reads; its output at that
    token is the timbre.

    The modules of ACE-Step's XL models do so (acestep/models/xl_*/modeling_*.py, "Prepend special
    token"); in the modules of the 2B models the line is commented out. diffusers 0.42.1 never does
    (pipelines/ace_step/modeling_ace_step.py, AceStepTimbreEncoder) and takes the first frame of the
    audio.
    """
    token = timbre_encoder.special_token

    def prepended(module: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        return torch.cat([token.to(output).expand(len(output), 1, -1), output], dim=1)

    hook = timbre_encoder.embed_tokens.register_forward_hook(prepended)
    try:
        yield
    finally:
        hook.remove()
