"""One batch from requests to files, with the real model."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.worker.engine.builders import TrackFactory, tiny_pipeline
from tests.worker.engine.engine_fixture import TINY, StepRecorder, before_forward, generator
from tests.worker.engine.mixtures import SourceFiles, mixture
from trackfarm.protocol.worker import FailureKind
from trackfarm_worker.engine.child.conditioning import Conditioner
from trackfarm_worker.engine.child.denoiser import Denoiser
from trackfarm_worker.engine.child.recipe import TrackTry, first_try
from trackfarm_worker.engine.child.time_accounting import TimeAccount
from trackfarm_worker.engine.protocol import (
    EngineTrack,
    FailedTrack,
    FinishedTrack,
    StoppedTrack,
    TrackResult,
)

Output = TrackResult | TrackTry


@pytest.fixture(scope="module")
def pipeline(models: Path) -> Any:
    return tiny_pipeline(models)


def tries(*tracks: EngineTrack) -> list[TrackTry]:
    outputs = [first_try(track, TINY, str(track.track_id)) for track in tracks]
    assert all(isinstance(output, TrackTry) for output in outputs), outputs
    return [output for output in outputs if isinstance(output, TrackTry)]


def finished(output: Output) -> FinishedTrack:
    assert isinstance(output, FinishedTrack), output
    return output


def samples(output: Output) -> NDArray[np.int32]:
    audio: NDArray[np.int16] = np.load(finished(output).path, allow_pickle=False)
    return audio.astype(np.int32)


def test_generate_neither_uses_nor_changes_the_global_random_state(
    pipeline: Any, sounds: SourceFiles, tmp_path: Path
) -> None:
    tracks = mixture(3, sounds, tracks=4, seconds=(1.0, 2.0))
    audio = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.random.get_rng_state()
        outputs = list(generator(pipeline, tmp_path).generate(tries(*tracks), StepRecorder()))
        audio.append([finished(output).path.read_bytes() for output in outputs])
        assert torch.equal(before, torch.random.get_rng_state())
    assert audio[0] == audio[1]


def test_generate_makes_the_audio_of_the_stock_pipeline(
    pipeline: Any, stock: Any, track: TrackFactory, tmp_path: Path
) -> None:
    request = track(
        1,
        duration=13.0,
        seed=5,
        bpm=96,
        key_scale="A minor",
        time_signature=3,
        lyrics="[verse]\nla",
        guidance=3.0,
    )
    expected = stock(
        prompt=request.prompt,
        lyrics=request.lyrics,
        audio_duration=13.0,
        num_inference_steps=2,
        guidance_scale=3.0,
        bpm=96,
        keyscale="A minor",
        timesignature="3",
        generator=torch.Generator().manual_seed(5),
    ).audios[0]
    other = track(2, duration=12.0, prompt="snow", lyrics="a longer text than the other has")
    outputs = list(generator(pipeline, tmp_path).generate(tries(request, other), StepRecorder()))
    audio = next(samples(output) for output in outputs if output.track_id == 1).T / 32767
    assert audio.shape == expected.shape
    assert np.abs(audio - expected.numpy()).max() < 1e-5 + 0.5 / 32767


def test_generate_can_be_stopped_between_decoding_windows(
    pipeline: Any, track: TrackFactory, tmp_path: Path
) -> None:
    recorder = StepRecorder(lambda _, steps: ("decode", 1) in steps)
    outputs = list(generator(pipeline, tmp_path).generate(tries(track(1, duration=30.0)), recorder))
    assert outputs == [StoppedTrack(track_id=1)]
    assert recorder.steps[-1][0] == "decode"
    assert list(tmp_path.iterdir()) == []


def test_generate_makes_the_same_audio_when_another_track_is_stopped(
    pipeline: Any, sounds: SourceFiles, tmp_path: Path
) -> None:
    tracks = mixture(2, sounds, tracks=3, seconds=(1.0, 2.0))
    recorder = StepRecorder(lambda track_id, steps: track_id == 1 and ("denoise", 1) in steps)
    outputs = list(generator(pipeline, tmp_path).generate(tries(*tracks), recorder))
    assert [
        output.type
        for output in outputs
        if not isinstance(output, TrackTry) and output.track_id == 1
    ] == ["stopped"]
    for finished_track in (output for output in outputs if output.track_id != 1):
        audio = samples(finished_track)
        (alone,) = generator(pipeline, tmp_path).generate(
            tries(tracks[finished_track.track_id]), StepRecorder()
        )
        assert np.abs(audio - samples(alone)).max() <= 1


def test_generate_ends_at_the_next_step_when_all_tracks_are_stopped(
    pipeline: Any, track: TrackFactory, tmp_path: Path
) -> None:
    recorder = StepRecorder(lambda _, steps: ("denoise", 2) in steps)
    outputs = list(
        generator(pipeline, tmp_path).generate(tries(track(1, steps=50), track(2)), recorder)
    )
    assert {output.track_id for output in outputs if isinstance(output, StoppedTrack)} == {1, 2}
    assert max(step for stage, step in recorder.steps if stage == "denoise" and step < 50) <= 3


@pytest.mark.parametrize(
    ("gain", "kind"),
    [(float("nan"), FailureKind.NOT_FINITE), (0.0, FailureKind.SILENT), (1e-6, FailureKind.SILENT)],
)
def test_generate_retries_useless_audio_and_never_writes_it(
    models: Path, track: TrackFactory, tmp_path: Path, gain: float, kind: FailureKind
) -> None:
    broken = tiny_pipeline(models)
    batch_generator = generator(broken, tmp_path)
    broken.vae.decoder.conv2.weight.data.fill_(gain)
    (second,) = batch_generator.generate(tries(track(1, seeds=(1, 8))), StepRecorder())
    assert isinstance(second, TrackTry)
    assert second.seed == 8
    (failed,) = batch_generator.generate([second], StepRecorder())
    assert isinstance(failed, FailedTrack)
    assert failed.kind == kind
    assert failed.message.endswith("(seeds tried: 1, 8)")
    assert failed.timings.decode > 0
    assert list(tmp_path.iterdir()) == []


def test_generate_fails_only_the_track_with_an_error(
    pipeline: Any, track: TrackFactory, sounds: SourceFiles, tmp_path: Path
) -> None:
    gone = tmp_path / "gone.npy"
    gone.write_bytes(sounds.source.read_bytes())
    request = tries(track(1), track(2, task_type="extract", source=gone))
    gone.unlink()
    first, second = sorted(
        generator(pipeline, tmp_path).generate(request, StepRecorder()),
        key=lambda output: output.track_id,
    )
    assert isinstance(first, FinishedTrack)
    assert isinstance(second, FailedTrack)
    assert second.kind == FailureKind.ENGINE_ERROR
    assert second.message.startswith("FileNotFoundError")
    (unwritten,) = generator(pipeline, tmp_path / "missing").generate(
        tries(track(1)), StepRecorder()
    )
    assert isinstance(unwritten, FailedTrack)


def test_timings_add_up_to_the_time_of_the_batch(
    pipeline: Any, sounds: SourceFiles, tmp_path: Path
) -> None:
    ticks = iter(range(10_000))
    time_account = TimeAccount(clock=lambda: float(next(ticks)))
    outputs = list(
        generator(pipeline, tmp_path, time_account).generate(
            tries(*mixture(4, sounds, tracks=3, seconds=(1.0, 2.0))), StepRecorder()
        )
    )
    timings = [finished(output).timings for output in outputs]
    # Each reading of the clock advances it by one second; the account takes the first one.
    assert sum(each.service for each in timings) == pytest.approx(next(ticks) - 1)
    assert all(t.condition + t.denoise + t.decode < t.service for t in timings)
    assert sum(each.denoise for each in timings) == pytest.approx(1.0)


def test_passes_are_those_through_the_model(
    models: Path, sounds: SourceFiles, tmp_path: Path
) -> None:
    passes: list[object] = []
    watched = tiny_pipeline(models)
    batch_generator = generator(watched, tmp_path)
    tracks = mixture(4, sounds, tracks=3, seconds=(1.0, 2.0))
    with before_forward(watched.transformer, passes.append):
        outputs = [
            finished(output) for output in batch_generator.generate(tries(*tracks), StepRecorder())
        ]
    assert {output.batch_size for output in outputs} == {3}
    assert sum(output.passes for output in outputs) == pytest.approx(len(passes))


def test_generate_recomputes_overflowed_latents_in_float32(
    models: Path, track: TrackFactory, tmp_path: Path
) -> None:
    half = tiny_pipeline(models)
    half.transformer.to(torch.float16)
    half.transformer.proj_in_conv.weight.data.mul_(3e4)
    conditioner, denoiser = Conditioner(half), Denoiser(half)
    request = tries(track(1))
    (rough,), _ = denoiser.denoise(
        conditioner.condition([conditioner.encode_inputs(request[0])]), lambda *_: ()
    )
    assert rough is not None
    assert not bool(torch.isfinite(rough).all())
    (output,) = generator(half, tmp_path).generate(request, StepRecorder())
    assert finished(output).measures.is_finite
    assert half.transformer.dtype == torch.float16
