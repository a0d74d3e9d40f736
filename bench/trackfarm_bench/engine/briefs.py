"""Tracks to make: all alike for speed, as unlike as can be for exactness."""

import random

from trackfarm_worker.engine.messages import EngineTrack

# Short enough for 256 tokens even where a token is a byte: the stock pipeline cuts off the end of
# what is longer, where the duration and the key stand, and the engine does not.
PROMPTS = ("rain", "warm piano, a slow evening", "driving techno, a rolling bass, one lost voice")
LYRICS = ("", "[verse]\nA line to sing", "[verse]\nOne line\nAnother line\n[chorus]\nAgain, again")


def alike(count: int, *, duration: float, steps: int | None = None) -> list[EngineTrack]:
    """Tracks that the stock pipeline can make together as well: only seeds and words differ."""
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
    """Tracks that differ in everything; durations are not whole latents either."""
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
