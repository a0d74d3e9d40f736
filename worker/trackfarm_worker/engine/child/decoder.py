"""Decoding of latents to audio, in overlapping windows that several tracks share in one pass:
bounded memory without audible seams."""

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch

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


OnPass = Callable[[int, int, Mapping[int, int]], Collection[int]]
Piece = tuple[int, Window]


class Decoder:
    """Decoder around an `AutoencoderOobleck`. `window` in latent frames, `at_once` windows per
    pass."""

    def __init__(self, vae: Any, *, window: int = WINDOW, windows_per_pass: int = 1) -> None:
        self._vae = vae
        self.window = window
        self.windows_per_pass = windows_per_pass

    @torch.inference_mode()
    def decode(
        self, latents: Mapping[int, torch.Tensor], on_pass: OnPass
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield each track's position and audio (channels, samples), float32, as soon as it is
        complete.

        `latents` are (frames, width) by position. `on_pass` is called after each pass with the
        number of finished passes, of all passes, and of windows per track in it; it returns the
        positions to skip.
        """
        plan = passes(
            {i: len(track) for i, track in latents.items()}, self.window, self.windows_per_pass
        )
        windows_left = Counter(position for part in plan for position, _ in part)
        decoded: dict[int, list[torch.Tensor]] = {position: [] for position in latents}
        skipped: Collection[int] = ()
        for done, part in enumerate(plan, start=1):
            active = [piece for piece in part if piece[0] not in skipped]
            for (position, _), audio in zip(
                active, self._decode_windows(latents, active), strict=True
            ):
                decoded[position].append(audio)
                windows_left[position] -= 1
            skipped = on_pass(done, len(plan), Counter(position for position, _ in active))
            for position in dict.fromkeys(position for position, _ in active):
                if windows_left[position] == 0 and position not in skipped:
                    yield position, torch.cat(decoded.pop(position), dim=1)

    def _decode_windows(
        self, latents: Mapping[int, torch.Tensor], pieces: Sequence[Piece]
    ) -> Iterator[torch.Tensor]:
        if not pieces:
            return
        parts = [latents[position][window.start : window.stop].T for position, window in pieces]
        audio = self._vae.decode(torch.stack(parts).to(self._vae.dtype)).sample.float()
        for (_, window), sound in zip(pieces, audio, strict=True):
            hop = sound.shape[-1] // (window.stop - window.start)
            begin, end = window.keep_from - window.start, window.keep_to - window.start
            yield sound[:, begin * hop : end * hop]


def passes(frames: Mapping[int, int], window: int, windows_per_pass: int) -> list[list[Piece]]:
    """Return the windows to decode together, pass by pass: only windows of equal length can share
    one.

    Tracks are decoded one after the other, so that each is complete as early as possible.
    """
    pieces = [
        (position, part)
        for position, count in sorted(frames.items(), key=lambda track: min(track[1], window))
        for part in windows(count, window=window)
    ]
    plan: list[list[Piece]] = []
    for _, group in groupby(pieces, key=lambda piece: piece[1].stop - piece[1].start):
        same_length = list(group)
        plan += [
            same_length[first : first + windows_per_pass]
            for first in range(0, len(same_length), windows_per_pass)
        ]
    return plan


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
