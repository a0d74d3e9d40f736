from pathlib import Path

import numpy as np
import torch

from tests.worker.engine.builders import TrackFactory
from trackfarm.model_sets import model_set
from trackfarm_worker.engine.child.conditioning import Conditioning, Guide
from trackfarm_worker.engine.child.padding import PaddedBatch
from trackfarm_worker.engine.child.recipe import TrackTry, first_try
from trackfarm_worker.engine.child.step_corrections import StepCorrections, blended
from trackfarm_worker.engine.track_options import CorrectionOptions

TINY = model_set("tiny")
WIDTH = 2


def conditioning(track: TrackFactory, frames: int, **fields: object) -> Conditioning:
    attempt = first_try(track(1, steps=4, shift=1.0, **fields), TINY, "1")
    assert isinstance(attempt, TrackTry)
    ones = torch.ones(frames, WIDTH)
    guide = Guide(torch.zeros(frames, 2 * WIDTH), torch.zeros(1, 3))
    return Conditioning(
        attempt.recipe, 1, noise=ones, start=ones, source=10 * ones, main=guide, plain=None
    )


def repaint(track: TrackFactory, folder: Path, **fields: object) -> Conditioning:
    np.save(folder / "source.npy", np.zeros((50 * 1920, 2), np.float32))
    window = {"repainting_start": 0.8, "repainting_end": 1.2}
    source = {"task_type": "repaint", "source": folder / "source.npy"}
    return conditioning(track, 50, **source, **window, **fields)


def test_step_corrections_put_the_source_back_with_the_noise_of_the_step(
    track: TrackFactory, tmp_path: Path
) -> None:
    batch = PaddedBatch([repaint(track, tmp_path)], torch.zeros(1, 3), 2)
    latents = torch.full((1, 50, WIDTH), 5.0)
    first = StepCorrections(batch).apply([0], 0, latents.clone(), latents)[0, :, 0]
    assert first[:20].tolist() == [0.75 * 1 + 0.25 * 10] * 20
    assert first[20:30].tolist() == [5.0] * 10
    # Half of the steps, as in ACE-Step's mode `balanced`.
    last = StepCorrections(batch).apply([0], 2, latents.clone(), latents)
    assert torch.equal(last, latents)


def test_blended_latents_fall_to_the_source_beside_the_window(
    track: TrackFactory, tmp_path: Path
) -> None:
    result = blended(repaint(track, tmp_path), torch.full((50, WIDTH), 5.0))[:, 0]
    assert result[:8].tolist() == [10.0] * 8
    assert result[20:30].tolist() == [5.0] * 10
    assert torch.all(result[8:20].diff() < 0)
    assert torch.all(result[30:42].diff() > 0)


def test_step_corrections_leave_the_padding_of_an_odd_length_at_zero(track: TrackFactory) -> None:
    on = CorrectionOptions(enabled=True)
    batch = PaddedBatch([conditioning(track, 25, correction=on)], torch.zeros(1, 3), 2)
    latents = torch.zeros(1, 26, WIDTH)
    latents[:, :25] = 1.0
    result = StepCorrections(batch).apply([0], 1, latents.clone(), torch.zeros_like(latents))
    assert torch.all(result[:, :25] != 1.0)
    assert torch.all(result[:, 25:] == 0.0)
