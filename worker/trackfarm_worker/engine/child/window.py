"""Windows of repaint and lego: the part of a source that is made again, and how it meets the rest.

As ACE-Step does: the rest of the source is put back into the latents during the first steps, the
borders are blended in the latents and again in the audio, and beyond the crossfade the finished
audio has the source's own samples.
"""

from dataclasses import dataclass

import torch

from trackfarm_worker.engine.track_options import RepaintOptions

# Of modes and strengths, at strength 0 of mode `balanced` and in mode `conservative`.
BLEND_FRAMES = 25
CROSSFADE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class RepaintWindow:
    """A window: latent frames [start, stop) and audio samples [start_sample, stop_sample).

    The source outside is put back after each of the first `injected_steps` steps and blended over
    `blend_frames`; with `keeps_source` the audio outside is that of the source, with a crossfade of
    `crossfade_samples`. `is_marked`: the model is told where the window is.
    """

    start: int
    stop: int
    start_sample: int
    stop_sample: int
    injected_steps: int
    blend_frames: int
    crossfade_samples: int
    keeps_source: bool
    is_marked: bool


@dataclass(frozen=True, slots=True)
class SourceLength:
    """Length of a source in samples, `rate` of them per second and `hop` per latent frame."""

    samples: int
    rate: int
    hop: int

    @property
    def frames(self) -> int:
        return -(-self.samples // self.hop)


def repaint_window(
    options: RepaintOptions,
    source: SourceLength,
    *,
    start: float,
    end: float | None,
    steps: int,
    is_distilled: bool,
) -> RepaintWindow:
    """Return the window from second `start` to `end` (None: the end of the source)."""
    start_sample = int(start * source.rate)
    # A product such as 10.04 * 48,000 is a fraction of a sample too small.
    is_to_the_end = end is None or end * source.rate > source.samples - 1
    stop_sample = source.samples if is_to_the_end or end is None else int(end * source.rate)
    first = max(0, min(start_sample // source.hop, source.frames - 1))
    last = source.frames if is_to_the_end else max(first + 1, stop_sample // source.hop)
    ratio, blend, crossfade = _amounts(options)
    is_whole = (first, last) == (0, source.frames)
    # A distilled model's loop ends with its last step, before anything is put back.
    most = steps - 1 if is_distilled else steps
    return RepaintWindow(
        start=first,
        stop=last,
        start_sample=start_sample,
        stop_sample=stop_sample,
        injected_steps=0 if is_whole else min(round(ratio * steps), most),
        blend_frames=0 if is_whole else blend,
        crossfade_samples=int(crossfade * source.rate),
        keeps_source=options.mode != "aggressive" and not (start_sample == 0 and is_to_the_end),
        is_marked=options.chunk_mask_mode == "explicit",
    )


def ramp_weights(
    length: int, *, start: int, stop: int, ramp: int, device: torch.device | str = "cpu"
) -> torch.Tensor:
    """Return weights (length,): 1 in [start, stop), falling to 0 over `ramp` places outside."""
    weights = torch.zeros(length, device=device)
    weights[start:stop] = 1.0
    before, after = min(ramp, start), min(ramp, length - stop)
    if before > 0:
        weights[start - before : start] = torch.linspace(0, 1, before + 2, device=device)[1:-1]
    if after > 0:
        weights[stop : stop + after] = torch.linspace(1, 0, after + 2, device=device)[1:-1]
    return weights


def _amounts(options: RepaintOptions) -> tuple[float, int, float]:
    """Return the share of the steps after which the source is put back, the frames to blend over,
    and the seconds of the crossfade."""
    match options.mode:
        case "aggressive":
            return 0.0, 0, 0.0
        case "conservative":
            kept = 1.0
        case "balanced":
            kept = 1.0 - options.strength
    frames, seconds = options.latent_crossfade_frames, options.wav_crossfade_seconds
    blend = round(BLEND_FRAMES * kept) if frames is None else frames
    return kept, blend, CROSSFADE_SECONDS * kept if seconds is None else seconds
