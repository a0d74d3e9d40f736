"""Training of the demo model: flow matching on composed pieces, with helper losses at first.

On one core 3,600 steps take about a quarter of an hour. The same seed on the same machine gives the
same weights; another processor's last bits differ, and lead to other weights that play as well.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from trackfarm_demo.structured_start import start_networks
from trackfarm_demo.training_batch import FRAMES, Batch, training_batch
from trackfarm_demo.vocabulary import build_tokenizer, class_indices, class_rows, vocabulary
from trackfarm_worker.models.demo import PATCH, WIDTH

STEPS = 3_600
LEARNING_RATE = 1.5e-3
WARMUP_STEPS = 150
WEIGHT_DECAY = 0.01
AVERAGE = 0.999  # decay of the moving average of the weights, which is what is exported
HELPER_WEIGHT, CHORD_WEIGHT = 0.4, 1.5
HELPER_SHARE = 0.8  # of the training, over which the helper losses fade out
MAX_GRADIENT = 1.0
LOSS_SCALE = 4.0
REPORT_STEPS = 100
# After these layers the angles of beat, bar and four bars, and the chord, must be readable.
PHASE_LAYER, CHORD_LAYERS = 1, (2, 3)
SILENT_TOKENS = 3  # lyrics and timbre: zero vectors before the text's, at least this many
LONG_LYRICS_SHARE, LONG_LYRICS = 0.1, 30


@dataclass(frozen=True, slots=True)
class Progress:
    """State of the training after some steps; the losses are means since the last report."""

    step: int
    seconds: float
    velocity_loss: float
    phase_loss: float
    chord_loss: float


class DemoTrainer(nn.Module):
    """The three networks and the probes of the helper losses.

    All tokens of a class share one row of `rows`, which stands in for the embedding table.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.networks: Any = nn.ModuleDict(start_networks(seed))
        classes = vocabulary()
        self.rows = nn.Parameter(torch.from_numpy(class_rows(classes)))
        self._class_of = torch.from_numpy(class_indices(classes))
        self.phase_probe = nn.Linear(WIDTH, 6)
        self.chord_probes: Any = nn.ModuleList(nn.Linear(WIDTH, 24) for _ in CHORD_LAYERS)

    def losses(self, batch: Batch, silent_tokens: int) -> dict[str, torch.Tensor]:
        """Return the losses of a batch: velocity, phase and chord."""
        with self._hidden_states() as hidden:
            velocity = self._velocity(batch, silent_tokens)
        error = (velocity - batch.velocity) ** 2
        phase_error = self.phase_probe(hidden[PHASE_LAYER]) - batch.phases
        chords = zip(self.chord_probes, CHORD_LAYERS, strict=True)
        return {
            # The late steps, of little noise, are easy; t² keeps them from ruling the gradient.
            "velocity": (error * batch.time[:, None, None] ** 2).mean(),
            "phase": (phase_error**2).mean(),
            "chord": sum(
                (
                    functional.binary_cross_entropy_with_logits(
                        probe(hidden[layer]), batch.chord_tones
                    )
                    for probe, layer in chords
                ),
                torch.zeros(()),
            ),
        }

    def _velocity(self, batch: Batch, silent_tokens: int) -> torch.Tensor:
        states = self.networks["text_encoder"](
            inputs_embeds=functional.embedding(self._class_of[batch.tokens], self.rows)
        ).last_hidden_state
        text = self._projector(states) * batch.token_mask[:, :, None]
        silent = torch.zeros(len(text), silent_tokens, text.shape[-1])
        velocity: torch.Tensor = self.networks["transformer"](
            hidden_states=batch.noisy,
            timestep=batch.time,
            timestep_r=batch.time,
            encoder_hidden_states=torch.cat([silent, text], dim=1),
            context_latents=batch.context,
            return_dict=False,
        )[0]
        return velocity

    @property
    def _projector(self) -> Any:
        return self.networks["condition_encoder"].text_projector

    @contextmanager
    def _hidden_states(self) -> Iterator[list[torch.Tensor]]:
        """Collect the output of each layer of the transformer."""
        outputs: list[torch.Tensor] = []
        handles = [
            layer.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
            for layer in self.networks["transformer"].layers
        ]
        try:
            yield outputs
        finally:
            for handle in handles:
                handle.remove()

    def trained(self) -> dict[str, nn.Parameter]:
        """Return the parameters that are trained, by name. The others keep their built values."""
        parts = {
            "text_encoder": self.networks["text_encoder"],
            "projector": self._projector,
            "transformer": self.networks["transformer"],
            "phase_probe": self.phase_probe,
            "chord_probes": self.chord_probes,
        }
        return {"rows": self.rows} | {
            f"{part}.{name}": parameter
            for part, module in parts.items()
            for name, parameter in module.named_parameters()
            if not name.startswith(("embed_tokens", "time_embed_r"))
        }


def train(
    seed: int = 1, steps: int = STEPS, on_progress: Callable[[Progress], None] = lambda _: None
) -> dict[str, nn.Module]:
    """Train the networks and return them with the averaged weights."""
    trainer, rng = DemoTrainer(seed), np.random.default_rng(seed)
    tokenizer = build_tokenizer(vocabulary())
    silence = trainer.networks["condition_encoder"].silence_latent[0].detach().numpy()
    parameters = trainer.trained()
    optimizer = _optimizer(parameters)
    averages = [parameter.detach().clone() for parameter in parameters.values()]
    reporter = _Reporter(on_progress)
    for step in range(steps):
        progress = step / steps
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * _rate(step, progress)
        losses = trainer.losses(training_batch(rng, tokenizer, silence), _silent_tokens(rng))
        optimizer.zero_grad()
        _total(losses, progress).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters.values(), MAX_GRADIENT)
        optimizer.step()
        decay = min(AVERAGE, (2 + step) / (21 + step))
        torch._foreach_lerp_(averages, [p.detach() for p in parameters.values()], 1 - decay)
        reporter.add(step + 1, losses)
    with torch.no_grad():
        for parameter, average in zip(parameters.values(), averages, strict=True):
            parameter.copy_(average)
        embedding = trainer.networks["text_encoder"].embed_tokens.weight
        embedding.copy_(trainer.rows[torch.from_numpy(class_indices(vocabulary()))])
    return dict(trainer.networks.items())


def _optimizer(parameters: dict[str, nn.Parameter]) -> torch.optim.Optimizer:
    matrices = [p for name, p in parameters.items() if p.dim() > 1 and _decays(name)]
    others = [p for name, p in parameters.items() if not (p.dim() > 1 and _decays(name))]
    groups = [
        {"params": matrices, "weight_decay": WEIGHT_DECAY},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(0.9, 0.98), fused=True)


def _decays(name: str) -> bool:
    return name != "rows" and "probe" not in name


def _rate(step: int, progress: float) -> float:
    """Return the factor of the learning rate: warm-up, half the training at 1, then a fall to 1 %."""
    warm = min(1.0, (step + 1) / WARMUP_STEPS)
    return warm * (1.0 if progress < 0.5 else max(0.01, 2 * (1 - progress)))


def _total(losses: dict[str, torch.Tensor], progress: float) -> torch.Tensor:
    helper = HELPER_WEIGHT * max(0.0, 1 - progress / HELPER_SHARE)
    return LOSS_SCALE * losses["velocity"] + helper * (
        losses["phase"] + CHORD_WEIGHT * losses["chord"]
    )


def _silent_tokens(rng: np.random.Generator) -> int:
    if rng.random() < LONG_LYRICS_SHARE:
        return int(rng.integers(SILENT_TOKENS + 1, LONG_LYRICS))
    return SILENT_TOKENS


class _Reporter:
    """Means of the losses, reported every REPORT_STEPS steps."""

    def __init__(self, on_progress: Callable[[Progress], None]) -> None:
        self._on_progress = on_progress
        self._began = time.monotonic()
        self._sums = dict.fromkeys(("velocity", "phase", "chord"), 0.0)

    def add(self, step: int, losses: dict[str, torch.Tensor]) -> None:
        for name, loss in losses.items():
            self._sums[name] += float(loss.detach()) / REPORT_STEPS
        if step % REPORT_STEPS == 0:
            seconds = time.monotonic() - self._began
            self._on_progress(Progress(step, seconds, *self._sums.values()))
            self._sums = dict.fromkeys(self._sums, 0.0)


assert FRAMES % PATCH == 0
