"""Input of one pass through the DiT: padded tracks, and the rows that they contribute."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.utils.rnn import pad_sequence

from trackfarm_worker.engine.child.conditioning import Conditioning


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of the tracks at `positions` of a batch in one pass.

    Row r belongs to track `owner[r]` (an index into `positions`). The first rows are the tracks with
    their own conditions; then follow the unconditional rows of the tracks at `guided`, then the
    rows of the tracks at `blended` with their text2music conditions. `scales` of guidance belong to
    `guided`, `strengths` of covers to `blended`. `frames` is the padded length of the longest of
    these tracks.
    """

    frames: int
    positions: torch.Tensor
    owner: torch.Tensor
    guided: torch.Tensor
    blended: torch.Tensor
    scales: torch.Tensor
    strengths: torch.Tensor
    context: torch.Tensor
    condition: torch.Tensor
    tokens: torch.Tensor
    condition_tokens: torch.Tensor

    @property
    def guided_rows(self) -> slice:
        return slice(len(self.positions), len(self.positions) + len(self.guided))

    @property
    def blended_rows(self) -> slice:
        return slice(self.guided_rows.stop, len(self.owner))


class PaddedBatch:
    """Tracks of one batch, zero-padded to `frames`, which is a multiple of the patch size.

    `noise` (tracks, frames, width) is float32, `valid` (tracks, frames, 1) is 1 within each track's
    length.
    """

    def __init__(self, tracks: Sequence[Conditioning], null: torch.Tensor, patch: int) -> None:
        self.lengths = [track.frames for track in tracks]
        self.frames = self._whole_patches(self.lengths, patch)
        self._tracks = tracks
        self._null = null
        self._patch = patch
        device = null.device
        self.noise = self._padded([track.noise for track in tracks]).to(device)
        counts = torch.tensor(self.lengths, device=device)
        self.valid = (torch.arange(self.frames, device=device)[None] < counts[:, None]).unsqueeze(2)
        # Zero-padded too, because the patch of an odd last frame reads beyond the track's end.
        self._context = self._padded([track.context for track in tracks]).to(device)

    @property
    def padding(self) -> float:
        """Return the share of frames that are padding."""
        return 1.0 - sum(self.lengths) / (len(self.lengths) * self.frames)

    def rows(self, positions: Sequence[int]) -> Rows:
        """Return the rows of the tracks at these positions."""
        tracks = [self._tracks[position] for position in positions]
        guided = [i for i, track in enumerate(tracks) if track.recipe.is_guided]
        blended = [i for i, track in enumerate(tracks) if track.recipe.is_blended]
        owners = [*range(len(tracks)), *guided, *blended]
        conditions = [track.condition for track in tracks]
        conditions += [self._null.expand_as(conditions[i]) for i in guided]
        conditions += [_text2music_condition(tracks[i]) for i in blended]
        device = self._null.device
        owner = torch.tensor(owners, device=device)
        chosen = torch.tensor(list(positions), device=device)
        lengths = [self.lengths[position] for position in positions]
        frames = self._whole_patches(lengths, self._patch)
        tokens = torch.tensor([-(-length // self._patch) for length in lengths], device=device)
        return Rows(
            frames=frames,
            positions=chosen,
            owner=owner,
            guided=torch.tensor(guided, device=device, dtype=torch.long),
            blended=torch.tensor(blended, device=device, dtype=torch.long),
            scales=_column([tracks[i].recipe.guidance for i in guided], device),
            strengths=_column([tracks[i].recipe.cover_strength for i in blended], device),
            context=self._context[chosen, :frames][owner],
            condition=pad_sequence(conditions, batch_first=True),
            tokens=tokens[owner],
            condition_tokens=torch.tensor([len(c) for c in conditions], device=device),
        )

    @staticmethod
    def _whole_patches(lengths: Sequence[int], patch: int) -> int:
        return -(-max(lengths) // patch) * patch

    def _padded(self, parts: list[torch.Tensor]) -> torch.Tensor:
        padded = parts[0].new_zeros(len(parts), self.frames, parts[0].shape[-1])
        for row, part in zip(padded, parts, strict=True):
            row[: len(part)] = part
        return padded


def _column(values: list[float], device: torch.device) -> torch.Tensor:
    return torch.tensor(values, device=device, dtype=torch.float32).view(-1, 1, 1)


def _text2music_condition(track: Conditioning) -> torch.Tensor:
    assert track.plain_condition is not None, "a blended track has both conditions"
    return track.plain_condition
