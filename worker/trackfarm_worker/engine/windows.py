"""Windows of a long latent for the decoder: bounded memory without audible seams."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

# The decoder's receptive field is 8.31 latents to each side; an overlap of 9 or more leaves an
# error of 5e-7.
OVERLAP = 12
WINDOW = 256


@dataclass(frozen=True, slots=True)
class Window:
    """A window, in latent frames: decode [start, stop) and keep [keep_from, keep_to)."""

    start: int
    stop: int
    keep_from: int
    keep_to: int


def windows(frames: int, *, window: int = WINDOW, overlap: int = OVERLAP) -> Iterator[Window]:
    """Yield windows of one length, at most `window`, over `frames` latents; the last is
    right-aligned.

    The kept parts cover every frame exactly once, with `overlap` frames of context on each side
    except at the ends of the track. A track no longer than `window` is one window; otherwise there
    are as few windows as possible, and they are as short as their number allows. Raises ValueError
    if `window` is at most twice `overlap`.
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
