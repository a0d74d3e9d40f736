"""Synthetic device with the same process, messages and files as a real one."""

from pathlib import Path

import numpy as np
import pytest

from tests.worker.engine.builders import TrackFactory
from trackfarm_worker.engine.child.decoder import windows
from trackfarm_worker.engine.options import Options, SyntheticCost
from trackfarm_worker.engine.parent.client import EngineProcess
from trackfarm_worker.engine.parent.settings import EngineSettings
from trackfarm_worker.engine.protocol import Finished


def test_it_takes_the_time_it_is_told_and_makes_noise_of_the_right_length(
    models: Path, tmp_path: Path, track: TrackFactory
) -> None:
    cost = SyntheticCost(launch_seconds=0.05, seconds_per_audio_second=0.001)
    settings = EngineSettings(
        model_set="tiny",
        spool=tmp_path,
        source=models,
        device="synthetic",
        options=Options(synthetic=cost),
    )
    with EngineProcess(settings) as engine:
        engine.start()
        tracks = [track(i, steps=4, duration=10.0, guidance=1.0 + i) for i in range(3)]
        results = engine.run(tracks)
    booked = []
    for result in results:
        assert isinstance(result, Finished)
        assert result.batch_size == 3
        assert np.load(result.path, allow_pickle=False).shape == (480_000, 2)
        booked.append(result.timings)
    # Rows: one track without guidance, two with it.
    expected = 4 * (0.05 + 5 * 10 * 0.001)
    assert sum(t.denoise for t in booked) == pytest.approx(expected, rel=0.25)
    assert booked[1].denoise == pytest.approx(2 * booked[0].denoise)


@pytest.mark.soak
def test_a_source_takes_the_passes_of_its_windows(
    models: Path, tmp_path: Path, track: TrackFactory
) -> None:
    np.save(source := tmp_path / "source.npy", np.zeros((30 * 48_000, 2), dtype=np.float32))
    cost = SyntheticCost(launch_seconds=0.05, seconds_per_audio_second=0.001)
    settings = EngineSettings(
        model_set="tiny",
        spool=tmp_path / "spool",
        source=models,
        device="synthetic",
        options=Options(synthetic=cost),
    )
    with EngineProcess(settings) as engine:
        engine.start()
        (made,) = engine.run([track(1, task_type="extract", track_name="bass", source=source)])
    assert isinstance(made, Finished)
    assert np.load(made.path, allow_pickle=False).shape == (30 * 48_000, 2)
    heard = list(windows(30 * 25))
    seconds = sum(window.stop - window.start for window in heard) / 25
    assert made.timings.condition > len(heard) * 0.05 + seconds * 0.001
