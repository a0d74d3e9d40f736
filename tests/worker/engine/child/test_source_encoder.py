from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.worker.engine.mixtures import SourceFiles
from trackfarm.model_sets import model_set
from trackfarm_worker.engine.child.failure import EngineFailure
from trackfarm_worker.engine.child.recipe import first_try
from trackfarm_worker.engine.child.source_encoder import SourceEncoder, excerpt
from trackfarm_worker.engine.protocol import EngineTrack


def test_encoder_windows_equal_the_mean_of_the_whole(stock: Any, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    path = tmp_path / "long.npy"
    np.save(path, 0.3 * random.standard_normal((300 * 1920, 2)).astype(np.float32))
    with torch.inference_mode():
        windowed = SourceEncoder(stock).source(path)
        audio = torch.from_numpy(np.load(path)).T[None]
        whole = stock.vae.encode(audio).latent_dist.mode()[0].T
    assert windowed.shape == (300, 8)
    assert float((windowed - whole).abs().max()) < 5e-6


def test_encoder_encodes_a_file_once(stock: Any, sounds: SourceFiles) -> None:
    encoder = SourceEncoder(stock)
    with torch.inference_mode():
        first = encoder.source(sounds.source)
        assert encoder.source(sounds.source) is first
        encoder.clear_cache()
        again = encoder.source(sounds.source)
    assert again is not first
    assert torch.equal(again, first)


@pytest.mark.parametrize("seconds", [2.0, 30.0, 95.3])
def test_excerpt_is_that_of_the_stock_pipeline(stock: Any, seconds: float) -> None:
    """The stock method encodes its excerpt, so a recording encoder captures it."""
    rate = stock.sample_rate
    samples = (
        np.random.default_rng(2).standard_normal((round(seconds * rate), 2)).astype(np.float32)
    )
    chosen: list[torch.Tensor] = []
    handle = stock.vae.encoder.register_forward_pre_hook(
        lambda _module, args: chosen.append(args[0]) or (args[0][..., :1920],)  # type: ignore[func-returns-value]
    )
    try:
        stock.prepare_reference_audio_latents(
            torch.from_numpy(samples).T, 1, torch.device("cpu"), torch.float32
        )
    finally:
        handle.remove()
    assert torch.equal(torch.from_numpy(excerpt(samples, rate)).T, chosen[0][0])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (np.zeros((10, 1), np.float32), "is not stereo float32"),
        (np.zeros((10, 2), np.int16), "is not stereo float32"),
        (np.zeros((0, 2), np.float32), "no samples"),
        (None, "FileNotFoundError"),
        (b"RIFF", "ValueError"),
    ],
)
def test_first_try_refuses_a_source_file_of_another_kind(
    tmp_path: Path, content: Any, words: str
) -> None:
    path = tmp_path / "source.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content)
    track = EngineTrack(
        track_id=1, prompt="p", duration=1, seed=1, task_type="complete", source=path
    )
    failure = first_try(track, model_set("tiny"), "1")
    assert isinstance(failure, EngineFailure)
    assert failure.message.startswith("the source audio cannot be read")
    assert words in failure.message
