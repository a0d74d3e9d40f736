"""Repaints and variations of the demo model, made by trackfarm's own engine and judged.

A piece is made, decoded, normalised as a finished file is, and repainted inside a window: there it
must go on in tempo, key and chords, with other notes. (Outside the finished file has the source's own
samples, whatever the model plays: tests/end_to_end/test_repaint.py.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trackfarm.model_sets import DEMO, model_set
from trackfarm_demo.briefs import DemoBrief
from trackfarm_demo.latent_judge import PLAYED, Latents, LatentScore, judge
from trackfarm_demo.latents import FRAMES_PER_SECOND, PITCH_CLASSES, TRIGGER
from trackfarm_demo.vae_encoder import PEAK
from trackfarm_worker.engine.child.conditioning import Conditioner
from trackfarm_worker.engine.child.denoiser import Denoiser
from trackfarm_worker.engine.child.recipe import TrackTry, first_try
from trackfarm_worker.engine.protocol import EngineTrack

SECONDS = 16.0
WINDOW = (6.4, 11.2)  # seconds
MARGIN = 12  # frames at each border, which ACE-Step blends


@dataclass(frozen=True, slots=True)
class VariationResult:
    """A piece, its repaint and its variation with another seed.

    `inside` is the score of the window. Shares of the melody's notes in common: of the window with
    the source (`repeated`), and of two seeds (`alike`). Drums and bass are the genre's own.
    """

    genre: str
    inside: LatentScore
    repeated: float
    alike: float


class VariationMaker:
    """Maker of pieces and repaints with the engine's own conditioning and denoising."""

    def __init__(self, pipeline: Any, folder: Path) -> None:
        self._pipeline = pipeline
        self._conditioner, self._denoiser = Conditioner(pipeline), Denoiser(pipeline)
        self._source = folder / "source.npy"

    def vary(self, brief: DemoBrief, seed: int) -> VariationResult:
        """Make a piece, repaint its middle, and make it again with another seed."""
        original = self._latents(brief, seed)
        self._write_source(original)
        repainted = self._latents(
            brief,
            seed + 1_000,
            task_type="repaint",
            source=self._source,
            repainting_start=WINDOW[0],
            repainting_end=WINDOW[1],
        )
        start, end = (round(second * FRAMES_PER_SECOND) for second in WINDOW)
        inside = slice(start + MARGIN, end - MARGIN)
        return VariationResult(
            genre=brief.piece.genre,
            inside=judge(repainted[inside], brief.piece, first=start + MARGIN),
            repeated=common_notes(original[inside], repainted[inside]),
            alike=common_notes(original, self._latents(brief, seed + 2_000)),
        )

    def _latents(self, brief: DemoBrief, seed: int, **options: Any) -> Latents:
        track = EngineTrack(
            track_id=1,
            prompt=brief.prompt,
            duration=SECONDS,
            seed=seed,
            bpm=brief.bpm,
            key_scale=brief.key_scale,
            **options,
        )
        attempt = first_try(track, model_set(DEMO), "")
        assert isinstance(attempt, TrackTry), attempt
        conditionings = self._conditioner.condition([self._conditioner.encode_inputs(attempt)])
        (latents,), _ = self._denoiser.denoise(conditionings, lambda *_: ())
        assert latents is not None
        result: Latents = latents.numpy()
        return result

    @torch.inference_mode()
    def _write_source(self, latents: Latents) -> None:
        audio = self._pipeline.vae.decode(torch.from_numpy(latents.T[None].copy())).sample[0]
        samples = (audio / audio.abs().max() * PEAK).T.numpy()
        np.save(self._source, samples.astype(np.float32), allow_pickle=False)
        self._conditioner.source_encoder.clear_cache()  # the file's name is the same each time


def common_notes(one: Latents, other: Latents) -> float:
    """Return the share of the melody's notes of either that both have; 1 if there are none."""
    played, also = (z[:, :PITCH_CLASSES] > PLAYED * TRIGGER for z in (one, other))
    either = (played | also).sum()
    return float((played & also).sum() / either) if either else 1.0


def table(results: Sequence[VariationResult]) -> str:
    """Return a table (Markdown) of repaints and variations, one genre a line."""
    lines = [
        "| genre | window: in scale | on grid | chords | notes of the source | two seeds alike |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {r.genre} | {r.inside.in_scale:.3f} | {r.inside.on_grid:.2f}"
        f" | {r.inside.chord_tones:.2f} | {r.repeated:.2f} | {r.alike:.2f} |"
        for r in results
    ]
    return "\n".join(lines)
