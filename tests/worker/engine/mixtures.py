"""Batches of tracks that differ in almost everything."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trackfarm_worker.engine.protocol import EngineTrack
from trackfarm_worker.engine.track_options import (
    CorrectionOptions,
    RepaintOptions,
    SamplerOptions,
    StartOptions,
)

KINDS = (
    "text2music",
    "cover",
    "cover-nofsq",
    "repaint",
    "extract",
    "lego",
    "complete",
    "codes",
    "reference",
)
LYRICS = ("", "[verse]\nla la la\n", "[Strophe]\nDer Regen fällt auf große Dächer\n" * 9)

CORRECTIONS = (
    CorrectionOptions(enabled=False),
    CorrectionOptions(enabled=True),
    CorrectionOptions(enabled=True, mode="high", scaler=0.1),
)
SAMPLERS = (
    SamplerOptions(),
    SamplerOptions(),
    SamplerOptions(sampler_mode="heun", velocity_ema_factor=0.2),
    SamplerOptions(infer_method="sde", velocity_norm_threshold=0.8),
    SamplerOptions(use_adg=True, cfg_interval_start=0.3),
)
REPAINTS = (
    RepaintOptions(),
    RepaintOptions(mode="conservative", chunk_mask_mode="explicit"),
    RepaintOptions(mode="aggressive"),
)


@dataclass(frozen=True, slots=True)
class SourceFiles:
    source: Path
    reference: Path


def mixture(
    seed: int,
    sounds: SourceFiles,
    *,
    tracks: int,
    seconds: tuple[float, float],
    kinds: Sequence[str] = KINDS,
) -> list[EngineTrack]:
    """Return tracks of these kinds, deterministic for the same arguments; text determines the
    length of some."""
    draw = random.Random(seed)
    kinds = draw.sample(kinds, k=len(kinds)) * (1 + tracks // len(kinds))
    return [_track(i, kinds[i], draw, sounds, seconds) for i in range(tracks)]


def _track(
    track_id: int, kind: str, draw: random.Random, sounds: SourceFiles, seconds: tuple[float, float]
) -> EngineTrack:
    fields: dict[str, Any] = {
        "prompt": " ".join(draw.choices(["rain", "bells", "dub", "a choir"], k=draw.randint(1, 6))),
        "lyrics": draw.choice(LYRICS),
        "vocal_language": draw.choice(["en", "de"]),
        "duration": draw.randint(int(25 * seconds[0]), int(25 * seconds[1])) / 25,
        "bpm": draw.choice([None, 60, 128]),
        "steps": draw.randint(2, 8),
        "shift": draw.choice([1.0, 2.0, 3.0]),
        "guidance": draw.choice([1.0, 1.0, 2.5, 6.0]),
        "correction": draw.choice(CORRECTIONS),
        "sampler": draw.choice(SAMPLERS),
    }
    return EngineTrack(
        track_id=track_id,
        seed=draw.randrange(2**32),
        **fields | _of_kind(kind, draw, sounds),
    )


def _of_kind(kind: str, draw: random.Random, sounds: SourceFiles) -> dict[str, Any]:
    window = {
        "repainting_start": draw.uniform(0, 1),
        "repainting_end": draw.uniform(2, 9),
        "repaint": draw.choice(REPAINTS),
    }
    match kind:
        case "cover" | "cover-nofsq":
            return {
                "task_type": kind,
                "source": sounds.source,
                "cover_strength": draw.choice([1.0, 0.4]),
                "start": StartOptions(cover_noise_strength=draw.choice([0.0, 0.5])),
            }
        case "repaint":
            return {"task_type": kind, "source": sounds.source, **window}
        case "extract":
            return {"task_type": kind, "source": sounds.source, "track_name": "vocals"}
        case "lego":
            return {"task_type": kind, "source": sounds.source, "track_name": "drums", **window}
        case "complete":
            classes = ("bass", "strings")
            return {"task_type": kind, "source": sounds.source, "track_classes": classes}
        case "codes":
            codes = [draw.randrange(64_000) for _ in range(draw.randint(25, 60))]
            return {
                "audio_codes": "".join(f"<|audio_code_{code}|>" for code in codes),
                "cover_strength": draw.choice([1.0, 0.7]),
            }
        case "reference":
            return {"reference": sounds.reference}
        case _:
            return {}
