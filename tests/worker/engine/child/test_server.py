"""Runs within one process: batches, retries, tracks that break a batch, exhausted memory."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.worker.engine.builders import TrackFactory, tiny_pipeline
from tests.worker.engine.engine_fixture import ServerFixture, before_forward, noise_level_of
from trackfarm.protocol.worker import FailureKind
from trackfarm_worker.engine.child.server import MemoryExhausted
from trackfarm_worker.engine.protocol import FailedTrack, FinishedTrack, Retired


@pytest.fixture(scope="module")
def pipeline(models: Path) -> Any:
    return tiny_pipeline(models)


def test_run_retries_a_silent_track_with_its_next_seed(
    models: Path, track: TrackFactory, tmp_path: Path
) -> None:
    own = tiny_pipeline(models)
    passes = []

    def mute_once(_module: Any, _args: Any, audio: torch.Tensor) -> torch.Tensor:
        passes.append(len(audio))
        return audio * (len(passes) > 2)

    own.vae.decoder.register_forward_hook(mute_once)
    server = ServerFixture(own, tmp_path / "spool")
    results = server.run([track(1, seeds=(1, 11, 12)), track(2, seed=5), track(3, seeds=(3, 4))])
    again, given, untouched = (results[i] for i in (1, 2, 3))
    assert isinstance(again, FinishedTrack)
    assert again.seed == 11
    assert isinstance(given, FailedTrack)
    assert (given.kind, given.message[-16:]) == (FailureKind.SILENT, "(seeds tried: 5)")
    assert isinstance(untouched, FinishedTrack)
    assert untouched.seed == 3
    assert server.batches() == [[1, 2, 3], [1]]
    plain = ServerFixture(own, tmp_path / "plain").run([track(1, seed=11)])[1]
    assert isinstance(plain, FinishedTrack)
    assert plain.path.read_bytes() == again.path.read_bytes()


def test_run_isolates_a_track_that_breaks_its_batch(
    pipeline: Any, track: TrackFactory, tmp_path: Path
) -> None:
    def poisoned(kwargs: dict[str, Any]) -> None:
        if bool((noise_level_of(kwargs) - 6 / 7).abs().min() < 1e-6):
            raise RuntimeError("poison")

    server = ServerFixture(pipeline, tmp_path / "spool")
    tracks = [track(i) for i in range(1, 6)] + [track(6, steps=7, shift=1.0)]
    with before_forward(pipeline.transformer, poisoned):
        results = server.run(tracks)
    assert [type(results[i]).__name__ for i in range(1, 7)] == ["FinishedTrack"] * 5 + [
        "FailedTrack"
    ]
    failed = results[6]
    assert isinstance(failed, FailedTrack)
    assert (failed.kind, failed.message) == (FailureKind.ENGINE_ERROR, "RuntimeError: poison")


def test_run_lowers_the_memory_level_until_batches_fit_and_keeps_it(
    pipeline: Any, track: TrackFactory, tmp_path: Path
) -> None:
    def full(kwargs: dict[str, Any]) -> None:
        if len(noise_level_of(kwargs)) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    server = ServerFixture(pipeline, tmp_path / "spool")
    tracks = [track(i) for i in range(8)]
    with before_forward(pipeline.transformer, full):
        results = server.run(tracks)
        assert all(
            isinstance(one, FinishedTrack) and one.batch_size == 2 for one in results.values()
        )
        assert [len(batch) for batch in server.batches()] == [8, 4, 2, 2, 2, 2]
        after = ServerFixture(pipeline, tmp_path / "spool")
        after.run(tracks)
    assert [len(batch) for batch in after.batches()] == [2, 2, 2, 2]


def test_run_reduces_the_window_then_asks_for_a_larger_tier(
    pipeline: Any, track: TrackFactory, tmp_path: Path
) -> None:
    widest = 100

    def full(_module: Any, args: Any) -> None:
        if args[0].shape[-1] > widest:
            raise MemoryError

    server = ServerFixture(pipeline, tmp_path / "spool")
    handle = pipeline.vae.decoder.register_forward_pre_hook(full)
    try:
        results = server.run([track(1, duration=12.0)])
        assert isinstance(results[1], FinishedTrack)
        widest = 50
        failed = server.run([track(2, duration=12.0)])[2]
    finally:
        handle.remove()
    assert isinstance(failed, FailedTrack)
    assert failed.kind == FailureKind.OUT_OF_MEMORY
    assert failed.message.startswith("needs a larger tier: MemoryError")
    assert isinstance(server.run([track(3, duration=12.0)])[3], FinishedTrack)


def test_run_makes_batches_within_the_options(
    pipeline: Any, track: TrackFactory, tmp_path: Path
) -> None:
    server = ServerFixture(pipeline, tmp_path / "spool", batch_tracks=3)
    server.run([track(i) for i in range(7)])
    assert server.batches() == [[0, 1, 2], [3, 4, 5], [6]]


def test_run_does_not_batch_tracks_of_unlike_length(
    pipeline: Any, track: TrackFactory, tmp_path: Path
) -> None:
    server = ServerFixture(pipeline, tmp_path / "spool")
    results = server.run([track(1), track(2, duration=3.0), track(3, duration=1.04)])
    assert server.batches() == [[1, 3], [2]]
    short = results[1]
    assert isinstance(short, FinishedTrack)
    assert short.batch_size == 2
    assert short.padding == pytest.approx(1 / 52)


def test_run_retires_when_exhausted_and_the_successor_makes_smaller_batches(
    pipeline: Any, track: TrackFactory, tmp_path: Path
) -> None:
    def full(kwargs: dict[str, Any]) -> None:
        if len(noise_level_of(kwargs)) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    server = ServerFixture(pipeline, tmp_path / "spool", retire_when_exhausted=True)
    tracks = [track(i) for i in range(4)]
    with before_forward(pipeline.transformer, full):
        with pytest.raises(MemoryExhausted):
            server.run(tracks)
        assert server.reports[-1] == Retired(message="OutOfMemoryError: CUDA out of memory")
        successor = ServerFixture(pipeline, tmp_path / "spool")
        results = successor.run(tracks)
    assert all(isinstance(one, FinishedTrack) for one in results.values())
    assert [len(batch) for batch in successor.batches()] == [2, 2]
