from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.worker.engine.builders import tiny_pipeline
from trackfarm_worker.engine.child.decoder import Decoder, passes, windows
from trackfarm_worker.engine.child.optimize import fold_weight_norm


@pytest.fixture(scope="module")
def vae(models: Path) -> Any:
    folded = tiny_pipeline(models).vae
    fold_weight_norm(folded)
    return folded


def latents(frames: int) -> torch.Tensor:
    return torch.randn((frames, 8), generator=torch.Generator().manual_seed(frames))


def test_decoder_with_shared_windows_equals_whole_tracks(vae: Any, stock: Any) -> None:
    tracks = {i: latents(frames) for i, frames in enumerate((420, 30, 150, 151, 30))}
    decoded = dict(Decoder(vae, window=150, windows_per_pass=3).decode(tracks, lambda *_: ()))
    assert set(decoded) == set(tracks)
    for position, track in tracks.items():
        whole = stock.vae.decode(track.T[None]).sample[0].detach()
        assert decoded[position].shape == whole.shape
        assert float((decoded[position] - whole).abs().max()) < 2e-6


def test_decoder_overlap_shorter_than_the_receptive_field_is_audible(vae: Any, stock: Any) -> None:
    track = latents(100)
    whole = stock.vae.decode(track.T[None]).sample[0].detach()
    part = vae.decode(track[:50].T[None]).sample[0].detach()
    seam = (part - whole[:, : part.shape[1]]).abs()
    assert float(seam[:, -9 * 1920 :].max()) > 1e-3
    assert float(seam[:, : -9 * 1920].max()) < 2e-6


def test_decoder_yields_tracks_one_after_the_other_and_skips_stopped_ones(vae: Any) -> None:
    calls: list[tuple[int, int, dict[int, int]]] = []

    def on_pass(done: int, of: int, owners: Any) -> set[int]:
        calls.append((done, of, dict(owners)))
        return {1}

    tracks = {i: latents(60) for i in range(3)}
    decoded = [
        position
        for position, _ in Decoder(vae, window=40, windows_per_pass=3).decode(tracks, on_pass)
    ]
    assert decoded == [0, 2]
    assert [done for done, _, _ in calls] == list(range(1, calls[0][1] + 1))
    assert all(1 not in owners for _, _, owners in calls[1:])


def test_passes_share_windows_of_one_length_only() -> None:
    plan = passes({0: 1000, 1: 100, 2: 1000, 3: 100}, 256, 4)
    for part in plan:
        assert len(part) <= 4
        assert len({window.stop - window.start for _, window in part}) == 1
    assert [position for position, _ in plan[0]] == [1, 3]


@given(frames=st.integers(1, 16_000), core=st.integers(1, 500), overlap=st.integers(0, 40))
def test_windows_keep_every_frame_once_with_context_on_both_sides(
    frames: int, core: int, overlap: int
) -> None:
    window = core + 2 * overlap
    plan = list(windows(frames, window=window, overlap=overlap))
    assert [w.keep_from for w in plan] == [0, *(w.keep_to for w in plan[:-1])]
    assert plan[-1].keep_to == frames
    for w in plan:
        assert 0 <= w.start <= w.keep_from < w.keep_to <= w.stop <= frames
        assert w.stop - w.start == plan[0].stop - plan[0].start <= window
        assert w.start == 0 or w.keep_from - w.start >= overlap
        assert w.stop == frames or w.stop - w.keep_to >= overlap


def test_windows_of_a_long_track_cost_a_tenth_more() -> None:
    decoded = sum(w.stop - w.start for w in windows(15_000))
    assert decoded / 15_000 < 1.12


def test_windows_of_a_track_slightly_longer_than_one_are_short() -> None:
    assert sum(w.stop - w.start for w in windows(260)) == 260 + 24


def test_windows_without_a_core_are_refused() -> None:
    with pytest.raises(ValueError, match="no core"):
        list(windows(100, window=24, overlap=12))
