"""Evaluation of the demo model: unseen briefs, played by the unmodified `AceStepPipeline`."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from trackfarm.demo_words import demo_words
from trackfarm_demo.briefs import DemoBrief, random_brief
from trackfarm_demo.hearing import SoundAnalysis, hear
from trackfarm_demo.latent_judge import LatentScore, judge
from trackfarm_demo.latents import SAMPLE_RATE, TRIGGER
from trackfarm_demo.music_theory import octave_error, tempo_bpm

SEED = 99  # the training's briefs come from other seeds
TEMPO_TOLERANCE = 0.02
NO_NOTE = 0.25  # of a trigger; above, a latent is a note, if a soft one


@dataclass(frozen=True, slots=True)
class BriefEvaluation:
    """One brief, played. `hash_db` is the level of the sound that all that is far from a trigger
    makes alone, against the whole; `seconds` the CPU time per second of audio."""

    brief: DemoBrief
    score: LatentScore
    heard: SoundAnalysis
    hash_db: float
    seconds: float


def unseen_briefs(count: int, seed: int = SEED) -> list[DemoBrief]:
    """Return briefs with a tempo and a key, of the eight genres in turn."""
    rng = np.random.default_rng(seed)
    genres = list(demo_words().genres)
    return [
        random_brief(rng, genre=genres[i % len(genres)], no_genre_share=0.0, no_metadata_share=0.0)
        for i in range(count)
    ]


def evaluate(
    pipeline: Any, briefs: Sequence[DemoBrief], seconds: float, steps: int
) -> Iterator[BriefEvaluation]:
    """Play each brief with a seed of its own and judge it."""
    for seed, brief in enumerate(briefs):
        began = time.process_time()
        latents = play(pipeline, brief, seconds, steps, seed)
        audio = _decode(pipeline, latents)
        spent = (time.process_time() - began) / seconds
        is_rest = latents.abs() < NO_NOTE * TRIGGER
        hash_ = _decode(pipeline, torch.where(is_rest, latents, torch.zeros(())))
        yield BriefEvaluation(
            brief=brief,
            score=judge(latents[0].numpy(), brief.piece),
            heard=hear(audio, SAMPLE_RATE),
            hash_db=_decibels(np.std(hash_) / np.std(audio)),
            seconds=spent,
        )


@torch.inference_mode()
def play(pipeline: Any, brief: DemoBrief, seconds: float, steps: int, seed: int) -> torch.Tensor:
    """Return the latents (1, frames, 16) that the stock pipeline makes of a brief."""
    latents: torch.Tensor = pipeline(
        prompt=brief.prompt,
        lyrics="",
        audio_duration=seconds,
        bpm=brief.bpm,
        keyscale=brief.key_scale,
        num_inference_steps=steps,
        guidance_scale=1.0,
        generator=torch.Generator().manual_seed(seed),
        output_type="latent",
    ).audios
    return latents


@torch.inference_mode()
def _decode(pipeline: Any, latents: torch.Tensor) -> Any:
    return pipeline.vae.decode(latents.transpose(1, 2)).sample[0].T.numpy()


def _decibels(ratio: float) -> float:
    return 20 * math.log10(max(ratio, 1e-9))


def detail(result: BriefEvaluation) -> str:
    """Return a line about one brief: its request, and the sound."""
    asked, score, heard = result.brief, result.score, result.heard
    return (
        f"{asked.piece.genre:6} {asked.prompt[:36]:36} {asked.bpm:>4} bpm"
        f" {tempo_bpm(asked.piece.tempo):5.1f}: {score.bpm:5.1f} {heard.bpm:5.1f}"
        f" | {asked.key_scale:9} {score.in_scale:.2f} {heard.in_scale(asked.piece.key):.2f}"
        f" | {score.genre:6} {heard.genre:6} | grid {score.on_grid:.2f} {score.grid_filled:.2f}"
        f" chords {score.chord_tones:.2f} hash {result.hash_db:.0f} dB"
    )


def summary(results: Sequence[BriefEvaluation]) -> dict[str, str]:
    """Return the figures of an evaluation, by name."""
    count = len(results)

    def mean(values: Iterator[float]) -> float:
        return sum(values) / count

    return {
        "tempo right (latents)": f"{sum(r.score.is_tempo_right for r in results)} of {count}",
        "tempo right (audio)": f"{sum(_is_tempo_heard(r) for r in results)} of {count}",
        "onsets on the asked grid": f"{mean(r.score.on_grid for r in results):.3f}",
        "grid filled": f"{mean(r.score.grid_filled for r in results):.3f}",
        "notes in the asked scale": f"{mean(r.score.in_scale for r in results):.4f}",
        "worst": f"{min(r.score.in_scale for r in results):.3f}",
        "chord tones": f"{mean(r.score.chord_tones for r in results):.3f}",
        "energy in the asked scale (audio)": (
            f"{mean(r.heard.in_scale(r.brief.piece.key) for r in results):.3f}"
        ),
        "scale right (audio)": (
            f"{sum(r.brief.piece.key in r.heard.keys for r in results)} of {count}"
        ),
        "genre by pattern (latents)": (
            f"{sum(r.score.genre == r.brief.piece.genre for r in results)} of {count}"
        ),
        "genre (audio)": f"{sum(r.heard.genre == r.brief.piece.genre for r in results)} of {count}",
        "notes per second": f"{mean(r.score.notes_per_second for r in results):.1f}",
        "hash between notes": f"{mean(r.hash_db for r in results):.1f} dB",
        "worst hash": f"{max(r.hash_db for r in results):.1f} dB",
        "level": f"{mean(r.heard.level_dbfs for r in results):.1f} dBFS",
        "CPU s per second of audio": f"{mean(r.seconds for r in results):.3f}",
    }


def _is_tempo_heard(result: BriefEvaluation) -> bool:
    asked = result.brief.bpm or tempo_bpm(result.brief.piece.tempo)
    return octave_error(result.heard.bpm, asked) < TEMPO_TOLERANCE
