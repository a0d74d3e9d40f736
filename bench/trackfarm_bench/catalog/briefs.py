"""A catalog with mixed tasks, lengths, formats and guidance, and its source audio."""

import random
import wave
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np

from trackfarm.catalog import Brief
from trackfarm.catalog.vocabulary import AudioFormat

SOURCES = (10, 18, 30)  # seconds
LENGTHS = (10, 30)  # seconds of text-to-music tracks; a catalog accepts nothing shorter
RATE = 48_000
# Mostly text to music, with each of the other five tasks.
TASKS = {"text2music": 10, "cover": 3, "repaint": 2, "extract": 1, "lego": 1, "complete": 1}
GUIDANCE = {1.0: 2, 4.0: 1, 7.0: 1}
MOODS = ("rain on tin", "a slow train", "harbour at dawn", "dust and neon, and a long way home")
LYRICS = ("", "", "[verse]\nA line to sing", "[verse]\nOne line\n[chorus]\nAgain, again\n" * 4)


def write_sources(folder: Path) -> dict[int, Path]:
    """Write one WAV file of quiet noise for each length in `SOURCES`."""
    noise = np.random.default_rng(1)
    return {seconds: _written(folder, seconds, noise) for seconds in SOURCES}


def mixed(count: int, sources: Mapping[int, str], *, seed: int = 1) -> list[Brief]:
    """Return random briefs, deterministic for equal arguments. `sources`: the farm's reference of
    each source, by its seconds."""
    draw = random.Random(seed)
    return [Brief.model_validate(_brief(number, draw, sources)) for number in range(count)]


def _brief(number: int, draw: random.Random, sources: Mapping[int, str]) -> dict[str, Any]:
    task = _drawn(draw, TASKS)
    fields: dict[str, Any] = {
        "prompt": f"{draw.choice(MOODS)}, take {number}",
        "lyrics": draw.choice(LYRICS),
        "duration": draw.randint(*LENGTHS),
        "guidance_scale": _drawn(draw, GUIDANCE),
        "audio_format": draw.choice(get_args(AudioFormat)),
        "seed": draw.randrange(2**31),
        "task_type": task,
    }
    if task == "text2music":
        return fields
    seconds = draw.choice(sorted(sources))
    fields |= {"src_audio": sources[seconds], "duration": seconds}
    match task:
        case "cover":
            return fields | {"audio_cover_strength": draw.choice((1.0, 0.6))}
        case "repaint":
            return fields | {"repainting_start": 2, "repainting_end": seconds - 2}
        case "extract" | "lego":
            return fields | {"track_name": draw.choice(("drums", "bass"))}
        case _:
            return fields | {"track_classes": ["drums", "bass"]}


def _drawn(draw: random.Random, shares: Mapping[Any, int]) -> Any:
    (one,) = draw.choices(list(shares), weights=_weights(shares))
    return one


def _weights(shares: Mapping[Any, int]) -> Sequence[int]:
    return list(shares.values())


def _written(folder: Path, seconds: int, noise: np.random.Generator) -> Path:
    path = folder / f"source-{seconds}.wav"
    samples = noise.normal(0, 3_000, (seconds * RATE, 2)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
    return path
