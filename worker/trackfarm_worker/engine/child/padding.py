"""Input of one pass through the DiT: padded tracks, and the rows that they contribute."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.utils.rnn import pad_sequence

from trackfarm_worker.engine.child.conditioning import Conditioning


@dataclass(frozen=True, slots=True)
class RowWork:
    """Rows of the track at `position`: with its source or as text2music, guided or not."""

    position: int
    is_plain: bool
    is_guided: bool


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of the tracks at `positions` of a batch in one pass.

    Row r belongs to track `owner[r]` (an index into `positions`). The first rows are the tracks with
    their own conditions; then follow the unconditional rows of the tracks at `guided`, with their
    `scales` of guidance. `frames` is the padded length of the longest of these tracks.
    """

    frames: int
    positions: torch.Tensor
    owner: torch.Tensor
    guided: torch.Tensor
    scales: torch.Tensor
    context: torch.Tensor
    condition: torch.Tensor
    tokens: torch.Tensor
    condition_tokens: torch.Tensor

    @property
    def guided_rows(self) -> slice:
        return slice(len(self.positions), len(self.owner))


class PaddedBatch:
    """Tracks of one batch, zero-padded to `frames`, which is a multiple of the patch size.

    `noise` and `start` (tracks, frames, width) are float32, `valid` (tracks, frames, 1) is 1 within
    each track's length.
    """

    def __init__(self, tracks: Sequence[Conditioning], null: torch.Tensor, patch: int) -> None:
        self.lengths = [track.frames for track in tracks]
        self.frames = self._whole_patches(self.lengths, patch)
        self.tracks = tracks
        self._null = null
        self._patch = patch
        device = null.device
        self.noise = padded([track.noise for track in tracks], self.frames).to(device)
        self.start = padded([track.start for track in tracks], self.frames).to(device)
        counts = torch.tensor(self.lengths, device=device)
        self.valid = (torch.arange(self.frames, device=device)[None] < counts[:, None]).unsqueeze(2)

    def levels(self) -> torch.Tensor:
        """Return the noise levels (tracks, most steps + 1) before and after each step, float32,
        padded with zeros."""
        levels = [torch.tensor(track.recipe.levels) for track in self.tracks]
        return pad_sequence(levels, batch_first=True).to(self._null.device)

    @property
    def padding(self) -> float:
        """Return the share of frames that are padding."""
        return 1.0 - sum(self.lengths) / (len(self.lengths) * self.frames)

    def rows(self, works: Sequence[RowWork]) -> Rows:
        """Return the rows of these tracks in one pass."""
        tracks = [self.tracks[work.position] for work in works]
        guided = [i for i, work in enumerate(works) if work.is_guided]
        guides = [
            track.guide(is_plain=work.is_plain) for track, work in zip(tracks, works, strict=True)
        ]
        conditions = [guide.condition for guide in guides]
        conditions += [self._null.expand_as(conditions[i]) for i in guided]
        device = self._null.device
        owner = torch.tensor([*range(len(tracks)), *guided], device=device)
        lengths = [self.lengths[work.position] for work in works]
        frames = self._whole_patches(lengths, self._patch)
        tokens = torch.tensor([-(-length // self._patch) for length in lengths], device=device)
        # Zero-padded, because the patch of an odd last frame reads beyond the track's end.
        context = padded([guide.context.to(device) for guide in guides], frames)
        return Rows(
            frames=frames,
            positions=torch.tensor([work.position for work in works], device=device),
            owner=owner,
            guided=torch.tensor(guided, device=device, dtype=torch.long),
            scales=_column([tracks[i].recipe.guidance for i in guided], device),
            context=context[owner],
            condition=pad_sequence(conditions, batch_first=True),
            tokens=tokens[owner],
            condition_tokens=torch.tensor([len(c) for c in conditions], device=device),
        )

    @staticmethod
    def _whole_patches(lengths: Sequence[int], patch: int) -> int:
        return -(-max(lengths) // patch) * patch


def padded(parts: Sequence[torch.Tensor], frames: int) -> torch.Tensor:
    """Return the parts (length, width) as one tensor (parts, frames, width), padded with zeros."""
    whole = parts[0].new_zeros(len(parts), frames, parts[0].shape[-1])
    for row, part in zip(whole, parts, strict=True):
        row[: len(part)] = part
    return whole


def _column(values: list[float], device: torch.device) -> torch.Tensor:
    return torch.tensor(values, device=device, dtype=torch.float32).view(-1, 1, 1)
