"""A repainted file, through the whole farm, has its source's own samples outside the window."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.end_to_end.farm import LocalFarm
from tests.end_to_end.job_checks import wait_until_done
from tests.worker.judges import judged
from trackfarm_worker.audio_files import write_audio_file

RATE, SECONDS = 48_000, 10
START, STOP = 3 * RATE, 5 * RATE
CROSSFADE = 1200  # 25 ms
Samples = NDArray[np.int16]

CATALOG = """
catalog: two-seconds
model_set: tiny
defaults:
  prompt: a clarinet answers
  duration: 10
  task_type: repaint
  src_audio: source.wav
  repainting_start: 3
  repainting_end: 5
briefs:
  - {name: wav, audio_format: wav}
  - {name: quiet-wav, audio_format: wav, loudness_lufs: -30}
  - {name: flac, audio_format: flac}
  - {name: quiet-flac, audio_format: flac, loudness_lufs: -30}
  - {name: mp3, audio_format: mp3}
"""


@pytest.fixture(scope="module")
def source() -> Samples:
    """A loud chord, clipped here and there as a mastered song is."""
    times = np.arange(SECONDS * RATE) / RATE
    chord = sum(np.sin(2 * np.pi * pitch * times) for pitch in (220.0, 277.2, 329.6))
    stereo = np.stack([chord, np.roll(chord, 40)], axis=1) * 14_000
    return np.clip(np.round(stereo), -32_768, 32_767).astype(np.int16)


@pytest.fixture(scope="module")
def files(
    shared_farm: LocalFarm, source: Samples, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("repaint")
    write_audio_file(folder / "source.wav", source, RATE, "wav", {})
    (folder / "two-seconds.yaml").write_text(CATALOG)
    command = [sys.executable, "-m", "trackfarm.cli", "submit", str(folder / "two-seconds.yaml")]
    result = subprocess.run(
        [*command, "--json"], env=shared_farm.environment(), capture_output=True, check=True
    )
    answer: dict[str, Any] = json.loads(result.stdout)
    wait_until_done(shared_farm, job_id := str(answer["job"]["id"]), timeout_s=120)
    paths = {}
    for track in shared_farm.client.tracks(job_id):
        assert track.url
        assert track.name
        paths[track.name] = folder / f"{track.name}.{track.audio_format}"
        paths[track.name].write_bytes(httpx.get(track.url, timeout=30).raise_for_status().content)
    return paths


def samples(path: Path) -> NDArray[np.int32]:
    """Return the 16-bit samples (frames, 2) of a file without loss."""
    with av.open(str(path)) as file:
        frames = [frame.to_ndarray() for frame in file.decode(audio=0)]
        assert file.streams.audio[0].format.name == "s16"
    return np.concatenate(frames, axis=1).reshape(-1, 2).astype(np.int32)


def outside(audio: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([audio[: START - CROSSFADE], audio[STOP + CROSSFADE :]])


@pytest.mark.parametrize("name", ["wav", "quiet-wav", "flac", "quiet-flac"])
def test_repaint_keeps_every_sample_outside_its_window(
    files: dict[str, Path], source: Samples, name: str
) -> None:
    made = samples(files[name])
    assert made.shape == source.shape
    assert np.array_equal(outside(made), outside(source))
    assert np.mean(made[START:STOP] != source[START:STOP]) > 0.99


def test_repaint_as_mp3_keeps_the_rest_within_the_codec(
    files: dict[str, Path], source: Samples
) -> None:
    made = np.asarray(judged("pyav", files["mp3"]).samples, dtype=np.float64)
    assert len(made) == len(source)
    error = np.sqrt(np.mean((outside(made) - outside(source)) ** 2))
    assert error < 0.01 * np.sqrt(np.mean(outside(source.astype(np.float64)) ** 2))
