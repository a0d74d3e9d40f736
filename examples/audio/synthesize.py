"""Make the two recordings that examples/tasks.yaml works on: ten seconds each, and small.

`python examples/audio/synthesize.py` writes them beside this file.
"""

from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from numpy.typing import NDArray

RATE, SECONDS = 48_000, 10
MELODY = (0, 4, 7, 12, 9, 7, 4, 5, 2, 7, 11, 14, 12, 7, 4, 0, 5, 9, 12, 0)  # half tones over A3


def plucked(half_tones: float, overtones: tuple[float, ...], decay: float) -> NDArray[np.float64]:
    """Two seconds of a string; `overtones` are their levels, the first one's included."""
    time = np.arange(2 * RATE) / RATE
    pitch = 220.0 * 2 ** (half_tones / 12)
    tones = [
        level * np.sin(2 * np.pi * pitch * n * time) for n, level in enumerate(overtones, start=1)
    ]
    return np.asarray(sum(tones) * np.exp(-decay * time))


def played(notes: tuple[int, ...], overtones: tuple[float, ...], decay: float) -> NDArray[np.int16]:
    """One note every half second, the high ones to the right."""
    sound = np.zeros(((SECONDS + 2) * RATE, 2))
    for place, note in enumerate(notes):
        side = (note + 2) / 18
        start = place * RATE // 2
        string = plucked(note, overtones, decay)
        sound[start : start + len(string)] += string[:, None] * [1 - side, side]
    kept = sound[: SECONDS * RATE]
    return np.asarray(np.rint(kept / np.abs(kept).max() * 0.7 * 32_767), dtype=np.int16)


def save(path: Path, samples: NDArray[np.int16]) -> None:
    """As Opus of 48 kbit/s."""
    with av.open(str(path), "w", format="ogg", options={"fflags": "+bitexact"}) as file:
        stream = file.add_stream("libopus", rate=RATE, options={"vbr": "off"})
        assert isinstance(stream, AudioStream)
        stream.layout, stream.format, stream.bit_rate = "stereo", "s16", 48_000
        packed = np.ascontiguousarray(samples).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="s16", layout="stereo")
        frame.sample_rate, frame.pts = RATE, 0
        for packet in (*stream.encode(frame), *stream.encode(None)):
            file.mux(packet)


if __name__ == "__main__":
    here = Path(__file__).parent
    save(here / "melody.opus", played(MELODY, (1.0, 0.3, 0.1), 3.0))
    save(here / "harp.opus", played(MELODY[::-1], (1.0, 0.5, 0.4, 0.2, 0.1), 1.5))
