"""An engine under a real address space limit."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.worker.engine.builders import TrackFactory
from trackfarm_worker.engine.child.device import memory_levels_path
from trackfarm_worker.engine.options import EngineOptions
from trackfarm_worker.engine.parent.client import EngineClient
from trackfarm_worker.engine.parent.settings import EngineSettings
from trackfarm_worker.engine.protocol import FinishedTrack, TrackResult

# Masks over 2,000 tokens of lyrics take 32 MiB per track.
LYRICS = "la la la " * 220


@pytest.mark.soak
@pytest.mark.parametrize("retire", [False, True])
def test_tracks_made_at_lower_memory_levels_are_the_same(
    engine: EngineClient,
    models: Path,
    tmp_path: Path,
    track: TrackFactory,
    retire: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Otherwise each thread's arena reserves 64 MiB, and the number of threads depends on the machine.
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    tracks = [track(i, lyrics=LYRICS, steps=1) for i in range(8)]
    unlimited = engine.run(tracks)
    spool = tmp_path / "spool"
    options = EngineOptions(headroom_mib=250, retire_when_exhausted=retire)
    settings = EngineSettings(model_set="tiny", spool=spool, model_path=models, options=options)
    with EngineClient(settings) as capped:
        capped.start()
        results = capped.run(tracks)
        assert (capped.restarts > 0) == retire
    assert memory_levels_path(spool).exists()
    for one, other in zip(unlimited, results, strict=True):
        difference = samples(one, range(8, 9)) - samples(other, range(1, 8))
        assert np.abs(difference).max() <= 1


def samples(result: TrackResult, batch_sizes: range) -> NDArray[np.int32]:
    assert isinstance(result, FinishedTrack), result
    assert result.batch_size in batch_sizes
    audio: NDArray[np.int16] = np.load(result.path, allow_pickle=False)
    return audio.astype(np.int32)
