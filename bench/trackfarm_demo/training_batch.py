"""Training examples of the demo model: excerpts of composed pieces, with noise and their briefs."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from trackfarm_demo.briefs import model_text, random_brief
from trackfarm_demo.clock import phases
from trackfarm_demo.composition import chord_tones, compose
from trackfarm_demo.latents import CHANNELS, PATCH
from trackfarm_worker.models.demo import CLOCK_FRAMES

BATCH = 48
FRAMES = 64  # 2.56 s: more than the transformer's attention sees
START_SHARE, EARLY_SHARE = 0.15, 0.8
EARLY_FRAMES = 3_600
REPAINT_SHARE = 0.12
UNMARKED_SHARE = 0.5  # of the repaints: ACE-Step's default mask is all ones, window or not
MIN_WINDOW = 8  # frames of a repaint
TURBO_STEPS, SHIFT = 8, 3.0
TURBO_TIMES_SHARE = 0.7


@dataclass(frozen=True, slots=True)
class Example:
    """One excerpt: latents and context in frames, targets of the helper losses in patches."""

    latents: NDArray[np.float32]
    context: NDArray[np.float32]
    phases: NDArray[np.float32]
    chord_tones: NDArray[np.float32]
    text: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Examples with noise: `noisy` = (1 - time) latents + time noise. The model learns
    `velocity` = noise - latents."""

    noisy: torch.Tensor
    time: torch.Tensor
    velocity: torch.Tensor
    context: torch.Tensor
    tokens: torch.Tensor
    token_mask: torch.Tensor
    phases: torch.Tensor
    chord_tones: torch.Tensor


def training_batch(
    rng: np.random.Generator, tokenizer: Tokenizer, silence: NDArray[np.float32]
) -> Batch:
    """Return the next batch. `silence` is the clock (frames, 16); noise is of torch's generator."""
    examples = [_example(rng, silence) for _ in range(BATCH)]
    latents = torch.from_numpy(np.stack([example.latents for example in examples]))
    noise = torch.randn_like(latents)
    time = _times()
    tokens, mask = _tokens(tokenizer, [example.text for example in examples])
    return Batch(
        noisy=torch.lerp(latents, noise, time[:, None, None]),
        time=time,
        velocity=noise - latents,
        context=torch.from_numpy(np.stack([example.context for example in examples])),
        tokens=tokens,
        token_mask=mask,
        phases=torch.from_numpy(np.stack([example.phases for example in examples])),
        chord_tones=torch.from_numpy(np.stack([example.chord_tones for example in examples])),
    )


def _example(rng: np.random.Generator, silence: NDArray[np.float32]) -> Example:
    brief = random_brief(rng)
    first = _first_frame(rng)
    latents = compose(rng, brief.piece, first, FRAMES)
    is_repaint = rng.random() < REPAINT_SHARE
    mask = _repaint_mask(rng) if is_repaint else np.ones((FRAMES, 1), np.float32)
    if (
        is_repaint and rng.random() < 0.5
    ):  # a finished track comes back from the encoder with errors
        error = rng.normal(size=latents.shape) * rng.uniform(0, 0.6)
        latents += (error * (1 - mask)).astype(np.float32)
    source = np.where(mask > 0.5, silence[first : first + FRAMES], latents)
    if rng.random() < UNMARKED_SHARE:
        mask = np.ones_like(mask)
    return Example(
        latents=latents,
        context=np.concatenate([source, np.repeat(mask, CHANNELS, axis=1)], axis=1),
        phases=phases(brief.piece.tempo, first, FRAMES),
        chord_tones=chord_tones(brief.piece, first, FRAMES),
        text=model_text(brief, "repaint" if is_repaint else "text2music"),
    )


def _first_frame(rng: np.random.Generator) -> int:
    """Return where the excerpt begins: often at the start, mostly in the first two minutes."""
    if rng.random() < START_SHARE:
        return 0
    last = EARLY_FRAMES if rng.random() < EARLY_SHARE else CLOCK_FRAMES - 2 * FRAMES
    return int(rng.integers(last)) // PATCH * PATCH


def _repaint_mask(rng: np.random.Generator) -> NDArray[np.float32]:
    start = int(rng.integers(FRAMES - MIN_WINDOW))
    end = int(rng.integers(start + MIN_WINDOW, FRAMES + 1))
    mask = np.zeros((FRAMES, 1), np.float32)
    mask[start:end] = 1
    return mask


def _times() -> torch.Tensor:
    """Return noise levels: mostly at the eight steps of a turbo model, the others anywhere."""
    grid = torch.linspace(1, 0, TURBO_STEPS + 1)[:-1]
    anywhere = torch.rand(BATCH)
    is_on_grid = torch.rand(BATCH) < TURBO_TIMES_SHARE
    return _shifted(torch.where(is_on_grid, grid[torch.randint(TURBO_STEPS, (BATCH,))], anywhere))


def _shifted(time: torch.Tensor) -> torch.Tensor:
    """Apply the shift of flow matching, s t / (1 + (s - 1) t), as the pipeline does to its steps."""
    return SHIFT * time / (1 + (SHIFT - 1) * time)


def _tokens(tokenizer: Tokenizer, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    rows = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    longest = max(map(len, rows))
    tokens = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1.0] * len(row) + [0.0] * (longest - len(row)) for row in rows])
    return tokens, mask
