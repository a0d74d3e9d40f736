"""One batch from orders to files, with the real model."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.worker.engine.builders import TrackFactory, tiny_pipeline
from tests.worker.engine.engine_fixture import TINY, Follower, before_forward, maker
from tests.worker.engine.mixtures import Sounds, mixture
from trackfarm.protocol.worker import FailureKind
from trackfarm_worker.engine.child.conditioning import Conditioner
from trackfarm_worker.engine.child.denoiser import Denoiser
from trackfarm_worker.engine.child.recipe import EngineJob, engine_job
from trackfarm_worker.engine.child.time_accounting import TimeAccount
from trackfarm_worker.engine.protocol import (
    EngineTrack,
    Finished,
    Result,
    TrackFailedReport,
    TrackStopped,
)

Made = Result | EngineJob


@pytest.fixture(scope="module")
def pipeline(models: Path) -> Any:
    return tiny_pipeline(models)


def jobs(*tracks: EngineTrack) -> list[EngineJob]:
    made = [engine_job(track, TINY, str(track.track_id)) for track in tracks]
    assert all(isinstance(one, EngineJob) for one in made), made
    return [one for one in made if isinstance(one, EngineJob)]


def finished(made: Made) -> Finished:
    assert isinstance(made, Finished), made
    return made


def samples(made: Made) -> NDArray[np.int32]:
    audio: NDArray[np.int16] = np.load(finished(made).path, allow_pickle=False)
    return audio.astype(np.int32)


def test_the_global_random_state_is_neither_used_nor_changed(
    pipeline: Any, sounds: Sounds, tmp_path: Path
) -> None:
    tracks = mixture(3, sounds, tracks=4, seconds=(1.0, 2.0))
    audio = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.random.get_rng_state()
        made = list(maker(pipeline, tmp_path).make(jobs(*tracks), Follower()))
        audio.append([finished(one).path.read_bytes() for one in made])
        assert torch.equal(before, torch.random.get_rng_state())
    assert audio[0] == audio[1]


def test_the_audio_is_that_of_the_stock_pipeline(
    pipeline: Any, stock: Any, track: TrackFactory, tmp_path: Path
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
    theirs = stock(
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
    company = track(2, duration=12.0, prompt="snow", lyrics="a longer text than the other has")
    made = list(maker(pipeline, tmp_path).make(jobs(ordered, company), Follower()))
    ours = next(samples(one) for one in made if one.track_id == 1).T / 32767
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs.numpy()).max() < 1e-5 + 0.5 / 32767


def test_decoding_can_be_stopped_between_windows(
    pipeline: Any, track: TrackFactory, tmp_path: Path
) -> None:
    follower = Follower(lambda _, told: ("decode", 1) in told)
    made = list(maker(pipeline, tmp_path).make(jobs(track(1, duration=30.0)), follower))
    assert made == [TrackStopped(track_id=1)]
    assert follower.told[-1][0] == "decode"
    assert list(tmp_path.iterdir()) == []


def test_a_track_that_is_stopped_leaves_the_others_as_they_were(
    pipeline: Any, sounds: Sounds, tmp_path: Path
) -> None:
    tracks = mixture(2, sounds, tracks=3, seconds=(1.0, 2.0))
    follower = Follower(lambda track_id, told: track_id == 1 and ("denoise", 1) in told)
    made = list(maker(pipeline, tmp_path).make(jobs(*tracks), follower))
    assert [one.type for one in made if not isinstance(one, EngineJob) and one.track_id == 1] == [
        "stopped"
    ]
    for kept in (one for one in made if one.track_id != 1):
        ours = samples(kept)
        (alone,) = maker(pipeline, tmp_path).make(jobs(tracks[kept.track_id]), Follower())
        assert np.abs(ours - samples(alone)).max() <= 1


def test_a_stop_of_all_ends_the_batch_at_the_next_step(
    pipeline: Any, track: TrackFactory, tmp_path: Path
) -> None:
    follower = Follower(lambda _, told: ("denoise", 2) in told)
    made = list(maker(pipeline, tmp_path).make(jobs(track(1, steps=50), track(2)), follower))
    assert {one.track_id for one in made if isinstance(one, TrackStopped)} == {1, 2}
    assert max(step for stage, step in follower.told if stage == "denoise" and step < 50) <= 3


@pytest.mark.parametrize(
    ("gain", "kind"),
    [(float("nan"), FailureKind.NOT_FINITE), (0.0, FailureKind.SILENT), (1e-6, FailureKind.SILENT)],
)
def test_useless_audio_is_tried_again_and_is_never_a_file(
    models: Path, track: TrackFactory, tmp_path: Path, gain: float, kind: FailureKind
) -> None:
    broken = tiny_pipeline(models)
    batch_maker = maker(broken, tmp_path)
    broken.vae.decoder.conv2.weight.data.fill_(gain)
    (second,) = batch_maker.make(jobs(track(1, seeds=(1, 8))), Follower())
    assert isinstance(second, EngineJob)
    assert second.seed == 8
    (failed,) = batch_maker.make([second], Follower())
    assert isinstance(failed, TrackFailedReport)
    assert failed.kind == kind
    assert failed.message.endswith("(seeds tried: 1, 8)")
    assert failed.timings.decode > 0
    assert list(tmp_path.iterdir()) == []


def test_what_fails_for_one_track_is_its_own_failure(
    pipeline: Any, track: TrackFactory, sounds: Sounds, tmp_path: Path
) -> None:
    gone = tmp_path / "gone.npy"
    gone.write_bytes(sounds.source.read_bytes())
    ordered = jobs(track(1), track(2, task_type="extract", source=gone))
    gone.unlink()
    one, two = sorted(
        maker(pipeline, tmp_path).make(ordered, Follower()), key=lambda made: made.track_id
    )
    assert isinstance(one, Finished)
    assert isinstance(two, TrackFailedReport)
    assert two.kind == FailureKind.ENGINE_ERROR
    assert two.message.startswith("FileNotFoundError")
    (unwritten,) = maker(pipeline, tmp_path / "missing").make(jobs(track(1)), Follower())
    assert isinstance(unwritten, TrackFailedReport)


def test_shares_add_up_to_the_time_of_the_batch(
    pipeline: Any, sounds: Sounds, tmp_path: Path
) -> None:
    ticks = iter(range(10_000))
    ledger = TimeAccount(clock=lambda: float(next(ticks)))
    made = list(
        maker(pipeline, tmp_path, ledger).make(
            jobs(*mixture(4, sounds, tracks=3, seconds=(1.0, 2.0))), Follower()
        )
    )
    booked = [finished(one).timings for one in made]
    # Each reading of the clock advances it by one second; the ledger takes the first one.
    assert sum(timings.service for timings in booked) == pytest.approx(next(ticks) - 1)
    assert all(t.condition + t.denoise + t.decode < t.service for t in booked)
    assert sum(timings.denoise for timings in booked) == pytest.approx(1.0)


def test_the_passes_that_are_told_are_those_through_the_model(
    models: Path, sounds: Sounds, tmp_path: Path
) -> None:
    counted: list[object] = []
    watched = tiny_pipeline(models)
    batch_maker = maker(watched, tmp_path)
    tracks = mixture(4, sounds, tracks=3, seconds=(1.0, 2.0))
    with before_forward(watched.transformer, counted.append):
        made = [finished(one) for one in batch_maker.make(jobs(*tracks), Follower())]
    assert {one.batch_size for one in made} == {3}
    assert sum(one.passes for one in made) == pytest.approx(len(counted))


def test_latents_that_overflow_in_half_precision_are_made_in_full(
    models: Path, track: TrackFactory, tmp_path: Path
) -> None:
    half = tiny_pipeline(models)
    half.transformer.to(torch.float16)
    half.transformer.proj_in_conv.weight.data.mul_(3e4)
    conditioner, denoiser = Conditioner(half), Denoiser(half)
    ordered = jobs(track(1))
    (rough,), _ = denoiser.denoise(
        conditioner.materials([conditioner.ground(ordered[0])]), lambda *_: ()
    )
    assert rough is not None
    assert not bool(torch.isfinite(rough).all())
    (made,) = maker(half, tmp_path).make(ordered, Follower())
    assert finished(made).measures.finite
    assert half.transformer.dtype == torch.float16
