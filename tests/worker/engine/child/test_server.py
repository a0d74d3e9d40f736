"""Runs within one process: batches, retries, tracks that break a batch, exhausted memory."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.worker.engine.builders import TrackFactory, tiny_pipeline
from tests.worker.engine.engine_fixture import Shop, before_forward, level_of
from trackfarm.protocol.worker import FailureKind
from trackfarm_worker.engine.child.server import RetireNow
from trackfarm_worker.engine.protocol import Finished, Retired, TrackFailedReport


@pytest.fixture(scope="module")
def pipeline(models: Path) -> Any:
    return tiny_pipeline(models)


def test_a_track_that_came_out_silent_is_made_again_with_its_next_seed(
    models: Path, track: TrackFactory, tmp_path: Path
) -> None:
    own = tiny_pipeline(models)
    passes = []

    def mute_once(_module: Any, _args: Any, audio: torch.Tensor) -> torch.Tensor:
        passes.append(len(audio))
        return audio * (len(passes) > 2)

    own.vae.decoder.register_forward_hook(mute_once)
    shop = Shop(own, tmp_path / "spool")
    made = shop.run([track(1, seeds=(1, 11, 12)), track(2, seed=5), track(3, seeds=(3, 4))])
    again, given, untouched = (made[i] for i in (1, 2, 3))
    assert isinstance(again, Finished)
    assert again.seed == 11
    assert isinstance(given, TrackFailedReport)
    assert (given.kind, given.message[-16:]) == (FailureKind.SILENT, "(seeds tried: 5)")
    assert isinstance(untouched, Finished)
    assert untouched.seed == 3
    assert shop.batches() == [[1, 2, 3], [1]]
    plain = Shop(own, tmp_path / "plain").run([track(1, seed=11)])[1]
    assert isinstance(plain, Finished)
    assert plain.path.read_bytes() == again.path.read_bytes()


def test_a_track_that_breaks_its_batch_is_found_and_costs_no_other(
    pipeline: Any, track: TrackFactory, tmp_path: Path
) -> None:
    def poisoned(kwargs: dict[str, Any]) -> None:
        if bool((level_of(kwargs) - 6 / 7).abs().min() < 1e-6):
            raise RuntimeError("poison")

    shop = Shop(pipeline, tmp_path / "spool")
    tracks = [track(i) for i in range(1, 6)] + [track(6, steps=7, shift=1.0)]
    with before_forward(pipeline.transformer, poisoned):
        made = shop.run(tracks)
    assert [type(made[i]).__name__ for i in range(1, 7)] == ["Finished"] * 5 + ["Failed"]
    failed = made[6]
    assert isinstance(failed, TrackFailedReport)
    assert (failed.kind, failed.message) == (FailureKind.ENGINE_ERROR, "RuntimeError: poison")


def test_the_ladder_ends_in_batches_that_fit_and_is_remembered(
    pipeline: Any, track: TrackFactory, tmp_path: Path
) -> None:
    def full(kwargs: dict[str, Any]) -> None:
        if len(level_of(kwargs)) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    shop = Shop(pipeline, tmp_path / "spool")
    tracks = [track(i) for i in range(8)]
    with before_forward(pipeline.transformer, full):
        made = shop.run(tracks)
        assert all(isinstance(one, Finished) and one.batch_size == 2 for one in made.values())
        assert [len(batch) for batch in shop.batches()] == [8, 4, 2, 2, 2, 2]
        after = Shop(pipeline, tmp_path / "spool")
        after.run(tracks)
    assert [len(batch) for batch in after.batches()] == [2, 2, 2, 2]


def test_a_smaller_window_helps_and_when_nothing_does_a_larger_tier_is_needed(
    pipeline: Any, track: TrackFactory, tmp_path: Path
) -> None:
    widest = 100

    def full(_module: Any, args: Any) -> None:
        if args[0].shape[-1] > widest:
            raise MemoryError

    shop = Shop(pipeline, tmp_path / "spool")
    handle = pipeline.vae.decoder.register_forward_pre_hook(full)
    try:
        made = shop.run([track(1, duration=12.0)])
        assert isinstance(made[1], Finished)
        widest = 50
        failed = shop.run([track(2, duration=12.0)])[2]
    finally:
        handle.remove()
    assert isinstance(failed, TrackFailedReport)
    assert failed.kind == FailureKind.OUT_OF_MEMORY
    assert failed.message.startswith("needs a larger tier: MemoryError")
    assert isinstance(shop.run([track(3, duration=12.0)])[3], Finished)


def test_batches_follow_the_options(pipeline: Any, track: TrackFactory, tmp_path: Path) -> None:
    shop = Shop(pipeline, tmp_path / "spool", batch_tracks=3)
    shop.run([track(i) for i in range(7)])
    assert shop.batches() == [[0, 1, 2], [3, 4, 5], [6]]


def test_tracks_of_unlike_length_are_not_padded_to_each_other(
    pipeline: Any, track: TrackFactory, tmp_path: Path
) -> None:
    shop = Shop(pipeline, tmp_path / "spool")
    made = shop.run([track(1), track(2, duration=3.0), track(3, duration=1.04)])
    assert shop.batches() == [[1, 3], [2]]
    short = made[1]
    assert isinstance(short, Finished)
    assert short.batch_size == 2
    assert short.padding == pytest.approx(1 / 52)


def test_a_device_that_ends_by_exhaustion_retires_with_the_smaller_batch_in_mind(
    pipeline: Any, track: TrackFactory, tmp_path: Path
) -> None:
    def full(kwargs: dict[str, Any]) -> None:
        if len(level_of(kwargs)) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    shop = Shop(pipeline, tmp_path / "spool", retire_when_exhausted=True)
    tracks = [track(i) for i in range(4)]
    with before_forward(pipeline.transformer, full):
        with pytest.raises(RetireNow):
            shop.run(tracks)
        assert shop.reports[-1] == Retired(message="OutOfMemoryError: CUDA out of memory")
        successor = Shop(pipeline, tmp_path / "spool")
        made = successor.run(tracks)
    assert all(isinstance(one, Finished) for one in made.values())
    assert [len(batch) for batch in successor.batches()] == [2, 2]
