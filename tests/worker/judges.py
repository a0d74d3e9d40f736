"""Judges of finished audio files: FFmpeg's libraries (PyAV), and the `ffmpeg` and `ffprobe` programs.

PyAV is always installed, but the encoders use it too. The programs are an independent build.
"""

import json
import shutil
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.filter import Graph
from numpy.typing import NDArray

from tests.servers.presence import require

JUDGES = ("pyav", "ffmpeg")


@dataclass(frozen=True)
class AudioFile:
    """`samples`: int16, shape (frames, channels). `tags`: of the file and its stream, lower-case
    names. `bit_rate`: bits a second."""

    codec: str
    rate: int
    channels: int
    bit_rate: int
    seconds: float
    tags: dict[str, str]
    samples: NDArray[np.int16]


def judged(judge: str, path: Path) -> AudioFile:
    """Read a file by one of JUDGES. Skip the test where the `ffmpeg` programs are missing."""
    return _by_pyav(path) if judge == "pyav" else _by_programs(path)


def lufs(samples: NDArray[np.float32], rate: int) -> float:
    """Return the loudness of samples, shape (frames, 2), as FFmpeg's filter `ebur128` measures it."""
    graph = Graph()
    source = graph.add_abuffer(
        sample_rate=rate, format="flt", layout="stereo", time_base=Fraction(1, rate)
    )
    meter, sink = graph.add("ebur128", "metadata=1"), graph.add("abuffersink")
    graph.link_nodes(source, meter, sink).configure()
    packed = np.ascontiguousarray(samples, dtype=np.float32).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(packed, format="flt", layout="stereo")
    frame.sample_rate, frame.pts = rate, 0
    graph.push(frame)
    graph.push(None)
    loudness = ""
    while True:
        try:
            loudness = graph.pull().metadata.get("lavfi.r128.I", loudness)
        except av.EOFError:
            return float(loudness)


def _by_pyav(path: Path) -> AudioFile:
    with av.open(path) as file:
        (stream,) = file.streams
        assert isinstance(stream, av.AudioStream)
        assert file.duration is not None
        resampler = av.AudioResampler("s16")
        frames = [*file.decode(stream), None]  # None flushes the resampler
        blocks = [packed.to_ndarray() for frame in frames for packed in resampler.resample(frame)]
        return AudioFile(
            codec=stream.codec.canonical_name,
            rate=stream.rate,
            channels=stream.channels,
            bit_rate=stream.bit_rate or 0,
            seconds=file.duration / av.time_base,
            tags=_lower(dict(file.metadata)) | _lower(dict(stream.metadata)),
            samples=np.concatenate(blocks, axis=1, dtype=np.int16).reshape(-1, stream.channels),
        )


def _by_programs(path: Path) -> AudioFile:
    ffmpeg, ffprobe = (require(shutil.which(name), "ffmpeg") for name in ("ffmpeg", "ffprobe"))
    show = ["-show_format", "-show_streams", "-of", "json"]
    content = json.loads(_output([ffprobe, "-v", "error", *show, str(path)]))
    (stream,) = content["streams"]
    raw = _output([ffmpeg, "-v", "error", "-i", str(path), "-f", "s16le", "-"])
    return AudioFile(
        codec=stream["codec_name"],
        rate=int(stream["sample_rate"]),
        channels=stream["channels"],
        bit_rate=int(stream.get("bit_rate", 0)),
        seconds=float(content["format"]["duration"]),
        tags=_lower(content["format"].get("tags", {})) | _lower(stream.get("tags", {})),
        samples=np.frombuffer(raw, dtype="<i2").reshape(-1, stream["channels"]),
    )


def _output(command: list[str]) -> bytes:
    return subprocess.run(command, check=True, capture_output=True).stdout


def _lower(tags: dict[str, str]) -> dict[str, str]:
    return {name.lower(): text for name, text in tags.items()}
