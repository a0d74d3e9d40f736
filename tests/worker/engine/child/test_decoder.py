from pathlib import Path
from typing import Any

import pytest
import torch

from tests.worker.engine.builders import tiny_pipeline
from trackfarm_worker.engine.child.decoder import Decoder, passes
from trackfarm_worker.engine.child.optimize import fold_weight_norm


@pytest.fixture(scope="module")
def vae(models: Path) -> Any:
    folded = tiny_pipeline(models).vae
    fold_weight_norm(folded)
    return folded


def latents(frames: int) -> torch.Tensor:
    return torch.randn((frames, 8), generator=torch.Generator().manual_seed(frames))


def test_windows_shared_by_tracks_decode_to_the_same_audio_as_each_whole_track(
    vae: Any, stock: Any
) -> None:
    tracks = {i: latents(frames) for i, frames in enumerate((420, 30, 150, 151, 30))}
    made = dict(Decoder(vae, window=150, at_once=3).decode(tracks, lambda *_: ()))
    assert set(made) == set(tracks)
    for place, track in tracks.items():
        whole = stock.vae.decode(track.T[None]).sample[0].detach()
        assert made[place].shape == whole.shape
        assert float((made[place] - whole).abs().max()) < 2e-6


def test_an_overlap_shorter_than_the_field_of_view_is_heard(vae: Any, stock: Any) -> None:
    track = latents(100)
    whole = stock.vae.decode(track.T[None]).sample[0].detach()
    part = vae.decode(track[:50].T[None]).sample[0].detach()
    seam = (part - whole[:, : part.shape[1]]).abs()
    assert float(seam[:, -9 * 1920 :].max()) > 1e-3
    assert float(seam[:, : -9 * 1920].max()) < 2e-6


def test_tracks_come_one_after_the_other_and_can_be_skipped(vae: Any) -> None:
    told: list[tuple[int, int, dict[int, int]]] = []

    def on_pass(done: int, of: int, owners: Any) -> set[int]:
        told.append((done, of, dict(owners)))
        return {1}

    tracks = {i: latents(60) for i in range(3)}
    made = [place for place, _ in Decoder(vae, window=40, at_once=3).decode(tracks, on_pass)]
    assert made == [0, 2]
    assert [done for done, _, _ in told] == list(range(1, told[0][1] + 1))
    assert all(1 not in owners for _, _, owners in told[1:])


def test_only_windows_of_one_length_share_a_pass() -> None:
    plan = passes({0: 1000, 1: 100, 2: 1000, 3: 100}, 256, 4)
    for part in plan:
        assert len(part) <= 4
        assert len({window.stop - window.start for _, window in part}) == 1
    assert [place for place, _ in plan[0]] == [1, 3]
