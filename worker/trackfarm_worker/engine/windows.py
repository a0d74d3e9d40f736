"""How a long latent is cut for the decoder, so that memory stays bounded and no seam is heard."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

# The decoder sees 8.31 latents to each side; 9 or more of overlap leave an error of 5e-7.
OVERLAP = 12
WINDOW = 256


@dataclass(frozen=True, slots=True)
class Window:
    """Decode latents [start, stop) and keep those of [keep_from, keep_to). All in latent frames."""

    start: int
    stop: int
    keep_from: int
    keep_to: int


def windows(frames: int, *, window: int = WINDOW, overlap: int = OVERLAP) -> Iterator[Window]:
    """Windows of one length, at most `window`, over `frames` latents; the last is right-aligned.

    What is kept covers every frame exactly once, with `overlap` frames of context on each side
    except at the ends of the track. A track no longer than a window is one window; else they are as
    few as `window` allows, and as short as their number allows.
    """
    if window <= 2 * overlap:
        raise ValueError(f"a window of {window} has no core with an overlap of {overlap}")
    if frames <= window:
        yield Window(0, frames, 0, frames)
        return
    cores = frames - 2 * overlap
    count = math.ceil(cores / (window - 2 * overlap))
    length = math.ceil(cores / count) + 2 * overlap
    keep_from = 0
    while keep_from < frames:
        start = min(max(0, keep_from - overlap), frames - length)
        stop = start + length
        keep_to = frames if stop == frames else stop - overlap
        yield Window(start, stop, keep_from, keep_to)
        keep_from = keep_to
