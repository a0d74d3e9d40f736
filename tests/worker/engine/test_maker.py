"""The inside of the engine process, run here: it needs torch."""

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.worker.engine.conftest import TrackFactory
from trackfarm.model_sets import model_set
from trackfarm.wire import FailureKind
from trackfarm_worker.engine.decoder import decode
from trackfarm_worker.engine.denoiser import Denoiser
from trackfarm_worker.engine.maker import TrackMaker, _kind_of
from trackfarm_worker.engine.measures import normalised
from trackfarm_worker.engine.messages import Failed, Finished, Progress, Stopped
from trackfarm_worker.engine.recipe import Recipe, recipe
from trackfarm_worker.models.loader import load

pytestmark = pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`:FutureWarning")
TINY = model_set("tiny")


@pytest.fixture(scope="module")
def pipeline(models: Path) -> Any:
    with pytest.warns(FutureWarning, match="weight_norm"):
        return load(TINY, models, device="cpu").pipeline


@pytest.fixture
def broken(pipeline: Any) -> Iterator[Any]:
    """The pipeline with a VAE whose last layer may be changed; it is put back afterwards."""
    layer = pipeline.vae.decoder.conv2
    before = layer.weight_g.detach().clone()
    yield layer.weight_g.data
    layer.weight_g.data.copy_(before)


def go_on(_: Progress) -> bool:
    return True


def made(result: object) -> Finished:
    assert isinstance(result, Finished)
    return result


def test_the_global_random_state_is_neither_used_nor_changed(
    pipeline: Any, track: TrackFactory, tmp_path: Path
) -> None:
    maker = TrackMaker(pipeline, TINY, tmp_path)
    audio = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.random.get_rng_state()
        audio.append(made(maker.make(track(1), str(seed), go_on)).path.read_bytes())
        assert torch.equal(before, torch.random.get_rng_state())
    assert audio[0] == audio[1]


def test_the_audio_is_that_of_the_stock_pipeline(
    pipeline: Any, track: TrackFactory, tmp_path: Path
) -> None:
    ordered = track(
        1,
        duration=13.0,
        seed=5,
        bpm=96,
        key_scale="A minor",
        time_signature=3,
        lyrics="[verse]\nla",
        guidance=3.0,
    )
    stock = pipeline(
        prompt=ordered.prompt,
        lyrics=ordered.lyrics,
        audio_duration=13.0,
        num_inference_steps=2,
        guidance_scale=3.0,
        bpm=96,
        keyscale="A minor",
        timesignature="3",
        generator=torch.Generator().manual_seed(5),
    ).audios[0]
    result = made(TrackMaker(pipeline, TINY, tmp_path).make(ordered, "track", go_on))
    ours = np.load(result.path, allow_pickle=False).T / 32767
    assert ours.shape == stock.shape
    assert np.abs(ours - stock.numpy()).max() < 1e-5 + 0.5 / 32767


def test_windows_decode_to_the_same_audio_as_the_whole(pipeline: Any) -> None:
    latents = torch.randn((1, 700, 8), generator=torch.Generator().manual_seed(3))
    whole = pipeline.vae.decode(latents.transpose(1, 2)).sample[0].detach().numpy().T
    seen: list[tuple[int, int]] = []

    def note(done: int, of: int) -> bool:
        seen.append((done, of))
        return True

    parts = decode(pipeline.vae, latents, frames=700 * 1920 - 5, on_window=note)
    assert parts is not None
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert np.abs(parts - whole[:-5]).max() < 2e-6


def test_decoding_can_be_stopped_between_windows(
    pipeline: Any, track: TrackFactory, tmp_path: Path
) -> None:
    told: list[Progress] = []

    def stop_at_second_window(progress: Progress) -> bool:
        told.append(progress)
        return (progress.stage, progress.step) != ("decode", 2)

    maker = TrackMaker(pipeline, TINY, tmp_path)
    result = maker.make(track(1, duration=30.0), "track", stop_at_second_window)
    assert isinstance(result, Stopped)
    assert told[-1].steps == 4
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("gain", "kind"),
    [(float("nan"), FailureKind.NOT_FINITE), (0.0, FailureKind.SILENT), (1e-6, FailureKind.SILENT)],
)
def test_useless_audio_is_a_failure_and_not_a_file(
    pipeline: Any, broken: Any, track: TrackFactory, tmp_path: Path, gain: float, kind: FailureKind
) -> None:
    broken.fill_(gain)
    result = TrackMaker(pipeline, TINY, tmp_path).make(track(1), "track", go_on)
    assert isinstance(result, Failed)
    assert result.kind == kind
    assert list(tmp_path.iterdir()) == []


def test_an_exception_becomes_a_failure(pipeline: Any, track: TrackFactory, tmp_path: Path) -> None:
    maker = TrackMaker(pipeline, TINY, tmp_path / "missing")
    result = maker.make(track(1), "track", go_on)
    assert isinstance(result, Failed)
    assert result.kind == FailureKind.ENGINE_ERROR
    assert result.message.startswith("FileNotFoundError")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), FailureKind.OUT_OF_MEMORY),
        (MemoryError(), FailureKind.OUT_OF_MEMORY),
        (OSError(errno.ENOSPC, "no space"), FailureKind.DISK_FULL),
        (ValueError("shape"), FailureKind.ENGINE_ERROR),
    ],
)
def test_errors_are_told_apart_by_what_helps(error: Exception, kind: FailureKind) -> None:
    assert _kind_of(error) == kind


def test_a_run_that_is_stopped_yields_no_latents_and_leaves_the_next_one_alone(
    pipeline: Any, track: TrackFactory
) -> None:
    denoiser = Denoiser(pipeline)
    chosen = recipe(track(1, steps=5), TINY)
    assert isinstance(chosen, Recipe)
    seen: list[int] = []

    def stop_at_second(step: int) -> bool:
        seen.append(step)
        return step < 2

    stopped, _ = denoiser.denoise(chosen, on_step=stop_at_second)
    assert stopped is None
    assert seen == [1, 2]
    whole, condition = denoiser.denoise(chosen, on_step=lambda _: True)
    assert whole is not None
    assert whole.shape == (1, 25, 8)
    assert condition > 0
    assert np.isfinite(normalised(whole.numpy())).all()
