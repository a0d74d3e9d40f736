"""Tracks to make: equal ones for speed, as different as possible for exactness."""

import random

from trackfarm_worker.engine.protocol import EngineTrack

# Short enough for 256 tokens even with one token per byte: the stock pipeline, unlike the engine,
# truncates longer prompts, which end with the duration and the key.
PROMPTS = ("rain", "warm piano, a slow evening", "driving techno, a rolling bass, one lost voice")
LYRICS = ("", "[verse]\nA line to sing", "[verse]\nOne line\nAnother line\n[chorus]\nAgain, again")


def alike(count: int, *, duration: float, steps: int | None = None) -> list[EngineTrack]:
    """Return tracks that the stock pipeline can also make together: only seeds differ."""
    return [
        EngineTrack(
            track_id=number,
            prompt=PROMPTS[1],
            lyrics=LYRICS[2],
            duration=duration,
            seed=number,
            steps=steps,
        )
        for number in range(1, count + 1)
    ]


def unlike(
    count: int, *, longest: float, steps: tuple[int, ...], guidance: tuple[float, ...], seed: int
) -> list[EngineTrack]:
    """Return tracks that differ in everything; even their durations are no multiples of a
    latent."""
    draw = random.Random(seed)
    return [
        EngineTrack(
            track_id=number,
            prompt=draw.choice(PROMPTS),
            lyrics=draw.choice(LYRICS),
            duration=round(draw.uniform(0.2, 1.0) * longest, 2),
            seed=draw.randrange(2**31),
            bpm=draw.choice((None, 90, 174)),
            key_scale=draw.choice((None, "C minor")),
            time_signature=draw.choice((None, 3, 4)),
            steps=draw.choice(steps),
            guidance=draw.choice(guidance),
        )
        for number in range(1, count + 1)
    ]
