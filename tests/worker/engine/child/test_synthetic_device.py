"""Synthetic device with the same process, messages and files as a real one."""

from pathlib import Path

import numpy as np
import pytest

from tests.worker.engine.builders import TrackFactory
from trackfarm_worker.engine.child.decoder import windows
from trackfarm_worker.engine.options import EngineOptions, SyntheticCost
from trackfarm_worker.engine.parent.client import EngineClient
from trackfarm_worker.engine.parent.settings import EngineSettings
from trackfarm_worker.engine.protocol import FinishedTrack


def test_synthetic_device_takes_the_configured_time_and_makes_noise_of_the_right_length(
    models: Path, tmp_path: Path, track: TrackFactory
) -> None:
    cost = SyntheticCost(launch_seconds=0.05, seconds_per_audio_second=0.001)
    settings = EngineSettings(
        model_set="tiny",
        spool=tmp_path,
        model_path=models,
        device="synthetic",
        options=EngineOptions(synthetic=cost),
    )
    with EngineClient(settings) as engine:
        engine.start()
        tracks = [track(i, steps=4, duration=10.0, guidance=1.0 + i) for i in range(3)]
        results = engine.run(tracks)
    timings = []
    for result in results:
        assert isinstance(result, FinishedTrack)
        assert result.batch_size == 3
        assert np.load(result.path, allow_pickle=False).shape == (480_000, 2)
        timings.append(result.timings)
    # Rows: one track without guidance, two with it.
    expected = 4 * (0.05 + 5 * 10 * 0.001)
    assert sum(t.denoise for t in timings) == pytest.approx(expected, rel=0.25)
    assert timings[1].denoise == pytest.approx(2 * timings[0].denoise)


@pytest.mark.soak
def test_synthetic_device_takes_a_pass_per_window_of_a_source(
    models: Path, tmp_path: Path, track: TrackFactory
) -> None:
    np.save(source := tmp_path / "source.npy", np.zeros((30 * 48_000, 2), dtype=np.float32))
    cost = SyntheticCost(launch_seconds=0.05, seconds_per_audio_second=0.001)
    settings = EngineSettings(
        model_set="tiny",
        spool=tmp_path / "spool",
        model_path=models,
        device="synthetic",
        options=EngineOptions(synthetic=cost),
    )
    with EngineClient(settings) as engine:
        engine.start()
        (result,) = engine.run([track(1, task_type="extract", track_name="bass", source=source)])
    assert isinstance(result, FinishedTrack)
    assert np.load(result.path, allow_pickle=False).shape == (30 * 48_000, 2)
    source_windows = list(windows(30 * 25))
    seconds = sum(window.stop - window.start for window in source_windows) / 25
    assert result.timings.condition > len(source_windows) * 0.05 + seconds * 0.001
